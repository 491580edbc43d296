// Files of the operating system, for runtimes whose host brings none.
#ifndef JUNTO_C_API_OS_FILES_H_
#define JUNTO_C_API_OS_FILES_H_

#include <string_view>

#include "junto/base/file.h"

namespace junto {

// What is hinted to be kDone leaves the system's cache, so that a large model is in memory once;
// small files stay.
//
// Names are paths. Only regular files open, for reading; what opens stays readable when its name is
// moved or removed. Failures are E_IO with the system's error number; a name that holds a NUL byte
// is E_INVALID. Holds no state; any thread.
//
// A mapped file that somebody else shortens makes the process fault when the lost pages are
// touched, as no library can prevent: hosts that cannot trust their files read instead of mapping.
class OsFileSystem final : public FileSystem {
 public:
  Status Open(std::string_view name, Memory* memory, Owned<File>* file) override;

  // Written beside its name, as NAME.N.part, and on the disk before it takes the name. A process
  // that is killed meanwhile leaves that behind.
  Status Create(std::string_view name, Memory* memory, Owned<NewFile>* file) override;
};

}  // namespace junto

#endif  // JUNTO_C_API_OS_FILES_H_
