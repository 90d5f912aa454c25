#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/image.h"

namespace ztmpfs {

/// The contents of an image's files as they are now, from which any number of images can be made.
class ImageSnapshot {
 public:
  explicit ImageSnapshot(const ImageFiles& files);

  /// A new image with these contents. Pages that were not there are not there.
  ImageFiles restore() const;

 private:
  struct Run {
    uint64_t offset;
    std::string bytes;
  };
  struct File {
    uint64_t length;
    std::vector<Run> runs;
  };

  static File take(int fd);
  static UniqueFd make(const File& file);

  File meta_;
  File data_;
  File buffers_;
};

}  // namespace ztmpfs
