#include "tests/support/image_snapshot.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdexcept>

namespace ztmpfs {

ImageSnapshot::ImageSnapshot(const ImageFiles& files)
    : meta_(take(files.meta.get())), data_(take(files.data.get())), buffers_(take(files.buffers.get())) {}

ImageFiles ImageSnapshot::restore() const { return {make(meta_), make(data_), make(buffers_)}; }

ImageSnapshot::File ImageSnapshot::take(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) throw std::runtime_error("fstat");
  File file{.length = uint64_t(status.st_size), .runs = {}};
  for (off_t begin = 0; (begin = ::lseek(fd, begin, SEEK_DATA)) >= 0;) {
    const off_t end = ::lseek(fd, begin, SEEK_HOLE);
    Run run{uint64_t(begin), std::string(size_t(end - begin), '\0')};
    if (::pread(fd, run.bytes.data(), run.bytes.size(), begin) != ssize_t(run.bytes.size()))
      throw std::runtime_error("pread");
    file.runs.push_back(std::move(run));
    begin = end;
  }
  return file;
}

UniqueFd ImageSnapshot::make(const File& file) {
  UniqueFd fd(::memfd_create("snapshot", MFD_CLOEXEC));
  if (!fd || ::ftruncate(fd.get(), off_t(file.length)) != 0) throw std::runtime_error("memfd_create");
  for (const Run& run : file.runs)
    if (::pwrite(fd.get(), run.bytes.data(), run.bytes.size(), off_t(run.offset)) != ssize_t(run.bytes.size()))
      throw std::runtime_error("pwrite");
  return fd;
}

}  // namespace ztmpfs
