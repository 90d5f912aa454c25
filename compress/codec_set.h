#pragma once

#include <memory>
#include <string_view>

#include "compress/codec.h"

namespace ztmpfs {

/// What the option `codec=` asks for.
struct CodecChoice {
  CodecId id = CodecId::kLz4;
  int level = 3;  ///< zstd only; negative levels are the fast ones
};

/// Parses "lz4", "zstd", "zstd:LEVEL" or "none". Throws std::invalid_argument with a sentence that names the culprit.
CodecChoice parse_codec(std::string_view text);

/// The codecs of a mount: one that new objects are compressed with, and all that can read old ones.
class CodecSet {
 public:
  explicit CodecSet(CodecChoice choice);
  ~CodecSet();

  /// The codec for new objects; nullptr for "none".
  const Codec* writer() const { return writer_; }
  /// The codec that wrote an object; nullptr if there is none with this number.
  const Codec* reader(CodecId id) const;

 private:
  std::unique_ptr<Codec> lz4_;
  std::unique_ptr<Codec> zstd_;
  const Codec* writer_ = nullptr;
};

}  // namespace ztmpfs
