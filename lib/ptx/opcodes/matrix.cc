// ldmatrix, stmatrix, movmatrix and mma.sync: PTX ISA 9.7.14.
#include <array>
#include <cstring>

#include "ptx/machine/cta.h"
#include "ptx/opcodes/decoder.h"
#include "ptx/opcodes/fragments.h"
#include "ptx/opcodes/number_formats.h"

namespace flashbench::ptx {
namespace {

using Matrix = std::array<std::array<std::uint16_t, 8>, 8>;

// Lane 8*j + r holds the address of row r of matrix j.
std::uint32_t row_offset(Cta& cta, Warp& w, const Instruction& ins, int lane) {
  std::uint64_t address =
      w.get_wide(ins.a, lane, ins.wide_a) + static_cast<std::uint64_t>(ins.immediate);
  const Site at{w, ins, lane};
  if (ins.space == Space::kGeneric) {
    if (address >> kSpaceShift != window(Space::kShared) >> kSpaceShift) {
      cta.fail(FindingKind::kInvalid, at, "a row that does not lie in shared memory");
    }
  }
  const auto offset = static_cast<std::uint32_t>(address);
  if (offset % 16 != 0) {
    cta.fail(
        FindingKind::kMisaligned, at,
        fmt::format("row at shared offset {}", static_cast<std::int64_t>(offset) - kSharedBase));
  }
  return offset;
}

std::uint16_t& element(Matrix& m, int lane, int half, bool transposed) {
  const Element e = matrix_element(lane, half);
  const auto row = static_cast<std::size_t>(transposed ? e.column : e.row);
  const auto column = static_cast<std::size_t>(transposed ? e.row : e.column);
  return m[row][column];
}

void to_registers(Warp& w, Row to, Matrix& m, bool transposed) {
  for (int lane = 0; lane < kWarpSize; ++lane) {
    const std::uint32_t low = element(m, lane, 0, transposed),
                        high = element(m, lane, 1, transposed);
    w.set<std::uint32_t>(to, lane, low | high << 16);
  }
}

void from_registers(const Warp& w, Row from, Matrix& m, bool transposed) {
  for (int lane = 0; lane < kWarpSize; ++lane) {
    const auto v = w.get<std::uint32_t>(from, lane);
    element(m, lane, 0, transposed) = static_cast<std::uint16_t>(v);
    element(m, lane, 1, transposed) = static_cast<std::uint16_t>(v >> 16);
  }
}

// sign: .trans.
void ldmatrix(Cta& cta, Warp& w, const Instruction& ins, LaneMask) {
  std::array<Matrix, 4> matrices;
  const std::size_t count = ins.rows_d.size();
  for (std::size_t j = 0; j < count; ++j) {
    for (std::size_t r = 0; r < 8; ++r) {
      const int lane = static_cast<int>(8 * j + r);
      const std::uint32_t offset = row_offset(cta, w, ins, lane);
      const Site at{w, ins, lane};
      const std::uint8_t* row = cta.shared_bytes(at, offset, 16);
      // The row goes to other lanes: it is the warp that reads.
      cta.check_shared_read({w, ins, -1}, offset, 16, false);
      std::memcpy(matrices[j][r].data(), row, 16);
    }
  }
  cta.counters().shared_read_bytes += 128 * count;
  for (std::size_t j = 0; j < count; ++j) to_registers(w, ins.rows_d[j], matrices[j], ins.sign);
}

void stmatrix(Cta& cta, Warp& w, const Instruction& ins, LaneMask) {
  for (std::size_t j = 0; j < ins.rows_a.size(); ++j) {
    Matrix m{};
    from_registers(w, ins.rows_a[j], m, ins.sign);
    for (std::size_t r = 0; r < 8; ++r) {
      const int lane = static_cast<int>(8 * j + r);
      const std::uint32_t offset = row_offset(cta, w, ins, lane);
      std::uint8_t* row = cta.shared_bytes({w, ins, lane}, offset, 16);
      const Site whole{w, ins, -1};
      cta.check_shared_write(whole, offset, 16, m[r].data(), false);
      cta.mark_shared_write(whole, offset, 16, false);
      std::memcpy(row, m[r].data(), 16);
    }
    cta.counters().shared_written_bytes += 128;
  }
}

bool decode_matrix_access(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kMatrix;
  ins.control = Control::kCollective;
  if (!d.has("sync") || !d.has("aligned") || !d.has("m8n8") || s.type() != Type::kB16) return false;
  ins.space = d.has("shared") || d.has("shared::cta") ? Space::kShared : Space::kGeneric;
  ins.sign = d.has("trans");
  const std::size_t count = d.has("x4") ? 4 : d.has("x2") ? 2 : d.has("x1") ? 1 : 0;
  d.operands(2, 2);
  const bool load = s.root() == "ldmatrix";
  d.address(ins, s.operands[load ? 1 : 0]);
  if (load) {
    ins.rows_d = d.destinations(s.operands[0]);
    ins.execute = ldmatrix;
    return ins.rows_d.size() == count;
  }
  ins.rows_a = d.sources(s.operands[1], Type::kB32);
  ins.execute = stmatrix;
  return ins.rows_a.size() == count;
}

void movmatrix(Cta&, Warp& w, const Instruction& ins, LaneMask) {
  Matrix m{};
  from_registers(w, ins.a, m, false);
  to_registers(w, ins.d, m, true);
}

bool decode_movmatrix(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kMatrix;
  ins.control = Control::kCollective;
  if (!d.has("sync") || !d.has("aligned") || !d.has("m8n8") || !d.has("trans")) return false;
  d.operands(2, 2);
  ins.d = d.destination(s.operands[0]);
  ins.a = d.source(s.operands[1], Type::kB32);
  ins.execute = movmatrix;
  return true;
}

// ---------------------------------------------------------------- mma

float operand_value(std::uint32_t reg, int part, Type type) {
  if (type == Type::kTf32) return truncate_to_tf32(std::bit_cast<float>(reg));
  const auto half = static_cast<std::uint16_t>(reg >> (16 * part));
  return type == Type::kBf16 ? bf16_to_float(half) : f16_to_float(half);
}

using Sums = float[16][8];

/// C, of f32 or of f16, two in a register.
void load_sums(const Warp& w, const std::vector<Row>& rows, Sums& c) {
  const int in_register = 4 / static_cast<int>(rows.size());
  for (int r = 0; r < 4; ++r) {
    for (int lane = 0; lane < kWarpSize; ++lane) {
      const Element e = c_element(lane, r);
      const auto v = w.get<std::uint32_t>(rows[static_cast<std::size_t>(r / in_register)], lane);
      c[e.row][e.column] =
          in_register == 1 ? std::bit_cast<float>(v) : operand_value(v, r % 2, Type::kF16);
    }
  }
}

void store_sums(Warp& w, const std::vector<Row>& rows, const Sums& c) {
  const bool of_f16 = rows.size() == 2;
  for (int r = 0; r < static_cast<int>(rows.size()); ++r) {
    for (int lane = 0; lane < kWarpSize; ++lane) {
      const Element e = c_element(lane, of_f16 ? 2 * r : r);
      const Row to = rows[static_cast<std::size_t>(r)];
      const float* const sums = &c[e.row][e.column];
      if (of_f16)
        w.set<std::uint32_t>(to, lane,
                             float_to_f16(sums[0]) | std::uint32_t{float_to_f16(sums[1])} << 16);
      else
        w.set<float>(to, lane, sums[0]);
    }
  }
}

// D = A * B + C, 16 x 8 x n. Products are exact; they are added in f32 in the order of k, and the
// sum is rounded once where D is f16. (The order and the truncation inside a tensor core are not
// documented.)
void mma(Cta& cta, Warp& w, const Instruction& ins, LaneMask) {
  const Type type = static_cast<Type>(ins.from);
  const int k_size = ins.n, per_register = type == Type::kTf32 ? 1 : 2;
  float a[16][16], b[16][8];
  Sums c;
  for (int r = 0; r < static_cast<int>(ins.rows_a.size()); ++r) {
    for (int lane = 0; lane < kWarpSize; ++lane) {
      const auto v = w.get<std::uint32_t>(ins.rows_a[static_cast<std::size_t>(r)], lane);
      for (int part = 0; part < per_register; ++part) {
        const Element e = a_element(lane, r, part, per_register);
        a[e.row][e.column] = operand_value(v, part, type);
      }
    }
  }
  for (int r = 0; r < static_cast<int>(ins.rows_b.size()); ++r) {
    for (int lane = 0; lane < kWarpSize; ++lane) {
      const auto v = w.get<std::uint32_t>(ins.rows_b[static_cast<std::size_t>(r)], lane);
      for (int part = 0; part < per_register; ++part) {
        const Element e = b_element(lane, r, part, per_register);
        b[e.row][e.column] = operand_value(v, part, type);
      }
    }
  }
  load_sums(w, ins.rows_c, c);
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < k_size; ++k) {
      for (int j = 0; j < 8; ++j) c[i][j] += a[i][k] * b[k][j];
    }
  }
  store_sums(w, ins.rows_d, c);
  cta.counters().matrix_flop += 2u * 16 * 8 * static_cast<unsigned>(k_size);
}

bool decode_mma(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kMatrix;
  ins.control = Control::kCollective;
  if (!d.has("sync") || !d.has("aligned") || !d.has("row") || !d.has("col")) return false;
  ins.n = d.has("m16n8k16") ? 16 : d.has("m16n8k8") ? 8 : d.has("m16n8k4") ? 4 : 0;
  const auto& t = s.types;
  if (ins.n == 0 || t.size() != 4 || t[0] != t[3] || t[1] != t[2]) return false;
  const bool in_f16 = t[0] == Type::kF16 && t[1] == Type::kF16;
  if (t[0] != Type::kF32 && !in_f16) return false;
  const bool tf32 = t[1] == Type::kTf32;
  if (!tf32 && t[1] != Type::kBf16 && t[1] != Type::kF16) return false;
  if (tf32 ? ins.n == 16 : ins.n == 4) return false;
  d.operands(4, 4);
  ins.from = static_cast<std::uint8_t>(t[1]);
  ins.rows_d = d.destinations(s.operands[0]);
  ins.rows_a = d.sources(s.operands[1], Type::kB32);
  ins.rows_b = d.sources(s.operands[2], Type::kB32);
  ins.rows_c = d.sources(s.operands[3], in_f16 ? Type::kB32 : Type::kF32);
  ins.execute = mma;
  const std::size_t a_registers = ins.n * (tf32 ? 2u : 1u) / 4;
  const std::size_t sums = in_f16 ? 2 : 4;
  return ins.rows_d.size() == sums && ins.rows_c.size() == sums &&
         ins.rows_a.size() == a_registers && ins.rows_b.size() == a_registers / 2;
}

}  // namespace

void add_matrix_opcodes(OpcodeTable& t) {
  t["ldmatrix"] = t["stmatrix"] = decode_matrix_access;
  t["movmatrix"] = decode_movmatrix;
  t["mma"] = decode_mma;
}

}  // namespace flashbench::ptx
