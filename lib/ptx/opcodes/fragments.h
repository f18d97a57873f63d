#pragma once

// How the elements of small matrices lie in the registers of a warp: PTX ISA 9.7.14.5 (mma) and
// 9.7.14.5.15 (ldmatrix). Groups of four lanes share a row.
namespace flashbench::ptx {

struct Element {
  int row, column;
};

/// ldmatrix and stmatrix, m8n8 of 16 bits: half `half` of lane `lane`'s register of one matrix.
constexpr Element matrix_element(int lane, int half) { return {lane / 4, 2 * (lane % 4) + half}; }

/// A of mma.m16n8k16 and m16n8k8, `per_register` elements (2 of 16 bits, 1 of 32) in a register.
/// Registers alternate between rows 0-7 and 8-15, then move right.
constexpr Element a_element(int lane, int reg, int part, int per_register) {
  return {lane / 4 + 8 * (reg & 1),
          (reg >> 1) * 4 * per_register + per_register * (lane % 4) + part};
}

/// B, k rows of 8 columns: registers move down.
constexpr Element b_element(int lane, int reg, int part, int per_register) {
  return {reg * 4 * per_register + per_register * (lane % 4) + part, lane / 4};
}

/// C and D, 16 x 8 of f32: four registers.
constexpr Element c_element(int lane, int reg) {
  return {lane / 4 + 8 * (reg >> 1), 2 * (lane % 4) + (reg & 1)};
}

}  // namespace flashbench::ptx
