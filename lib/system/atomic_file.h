#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "system/locked_file.h"

namespace flashbench {

/// A file that appears whole or not at all: bytes go to a temporary file in the same folder, and
/// commit() puts it in the place of `path`. A file that was there stays untouched until then, and
/// its permissions pass on. Symbolic links are followed. FIFOs and devices are written to
/// directly, and so is anything reached through /proc (/dev/stdout, /dev/fd/N): replacing those by
/// rename would leave their readers with nothing.
class AtomicFile {
 public:
  /// Throws UsageError where `path` cannot be written: one line, what and why.
  explicit AtomicFile(std::string path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  /// Without commit(): removes the temporary file.
  ~AtomicFile();

  /// Throws DeviceError when the system refuses (disk full, reader gone).
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Flushes to the disk and renames. Throws DeviceError; `path` is then what it was before.
  void commit();

 private:
  std::string path_;       ///< as the user wrote it, for messages
  std::string target_;     ///< symbolic links followed
  std::string temporary_;  ///< empty: written to directly
  int descriptor_ = -1;
  int lock_ = -1;  ///< from the end of writing until the file has its name
};

/// Replaces `path` by the concatenation of `parts`; throws as AtomicFile does.
void write_file_atomically(const std::string& path,
                           std::span<const std::span<const std::byte>> parts);
void write_file_atomically(const std::string& path, std::string_view text);

/// Throws UsageError where write_file_atomically(path) could not succeed, before any work starts:
/// the folder is missing or read-only, the path is a folder, the file is write-protected. Leaves an
/// existing file untouched and never opens a FIFO or device. Removes what killed processes have
/// left in that folder.
void require_writable(const std::string& path);

/// Whether write_file_atomically(path) puts a new file there, rather than write to what is there.
/// Throws as require_writable does.
bool is_replaced(const std::string& path);

/// Before any work, for an output that this process writes at its end: require_writable(), and no
/// other process may claim the file until `claimed` is gone. "" and "-" are no files. Throws
/// UsageError, also where another process has it.
void claim_output(const std::string& path, std::vector<OutputLock>& claimed);

}  // namespace flashbench
