#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace ztmpfs {

/// A part of a file: [begin, end).
struct ByteRange {
  uint64_t begin;
  uint64_t end;
};

/// A regular file with contents.
struct FoundFile {
  uint32_t directory;  ///< number in TreeContents::directories
  std::string name;
  uint64_t size;
  std::vector<ByteRange> data;  ///< of a file with holes: where it has none. Empty: it has no holes
};

/// What lies below some paths.
struct TreeContents {
  static constexpr size_t kSymlinkMax = 4096;

  std::vector<std::string> directories;  ///< paths; the one of files that were named themselves is empty
  std::vector<FoundFile> files;          ///< those with contents, each once
  uint64_t files_found = 0;              ///< regular files, empty ones too, hard links once
  uint64_t directories_found = 0;
  uint64_t symlinks_found = 0;
  uint64_t others_found = 0;   ///< devices, FIFOs, sockets
  uint64_t further_links = 0;  ///< names of files that were counted under another name
  uint64_t short_names = 0;    ///< directory entries, by the record they take
  uint64_t long_names = 0;
  std::array<uint64_t, kSymlinkMax + 1> symlink_lengths{};  ///< how many symbolic links have targets of this length
  Bytes size_total = 0;                                     ///< sum of the files' lengths
  Bytes data_total = 0;                                     ///< the same without holes
  uint64_t file_systems_left_out = 0;                       ///< mount points that were not entered
  std::vector<std::string> unreadable;                      ///< a sentence for each file or directory

  std::string path_of(const FoundFile& file) const;
};

/// Goes through the trees at `paths`: follows no symbolic links, stays in the file systems in which the paths lie,
/// counts each inode once. Counts in `entries` how far it is; ends early when `stop` is requested. What cannot be read
/// is noted and left out.
TreeContents walk_trees(const std::vector<std::string>& paths, const std::stop_token& stop,
                        std::atomic<uint64_t>& entries);

/// "NAME: Permission denied", fit for a terminal.
std::string unreadable_sentence(const std::string& path, int error);

}  // namespace ztmpfs
