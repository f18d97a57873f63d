#pragma once

#include <string>

// Files of our own that lie beside an output while it is written. Each is locked (flock) by the
// process that needs it: a lock ends with its process, however that ends, so what nobody holds is
// rubbish.
namespace flashbench {

/// Locks a file that was just made at `path`; false where somebody has taken it away meanwhile.
/// True too on file systems without locks.
bool lock_new_file(int descriptor);

/// Removes from `folder` the temporary files and locks that a process has left that was killed.
void remove_abandoned(const std::string& folder);

/// One process at a time writes an output.
class OutputLock {
 public:
  /// `path`: of the output, symbolic links followed. Throws UsageError, which names `shown`, where
  /// another process, or another lock of this one, has it. Nothing is locked where the file system
  /// has no locks or no file can be made.
  OutputLock(const std::string& path, const std::string& shown);
  OutputLock(OutputLock&& other) noexcept;
  OutputLock& operator=(OutputLock&&) = delete;
  ~OutputLock();

 private:
  std::string file_;
  int descriptor_ = -1;
};

}  // namespace flashbench
