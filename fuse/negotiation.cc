#include "fuse/negotiation.h"

#include <linux/fuse.h>

#include <algorithm>
#include <cstring>

namespace ztmpfs {

namespace {

static_assert(sizeof(fuse_init_out) <= Negotiation::kReplyMax);

fuse_init_out decode(const Negotiation& negotiation) {
  fuse_init_out reply;
  std::memcpy(&reply, negotiation.reply.data(), sizeof(reply));
  return reply;
}

// Collects what differs.
class Differences {
 public:
  void compare(const char* name, uint32_t then, uint32_t now) {
    if (then != now) add(name, std::to_string(then), std::to_string(now));
  }
  void compare_bits(const char* name, uint32_t then, uint32_t now) {
    if (then != now) add(name, hexadecimal(then), hexadecimal(now));
  }
  bool empty() const { return text_.empty(); }
  std::string text() && { return std::move(text_); }

 private:
  static std::string hexadecimal(uint32_t value) {
    char text[16];
    std::snprintf(text, sizeof(text), "0x%x", value);
    return text;
  }
  void add(const char* name, const std::string& then, const std::string& now) {
    if (!text_.empty()) text_ += ", ";
    text_ += std::string(name) + " (" + then + " then, " + now + " now)";
  }

  std::string text_;
};

}  // namespace

void Negotiation::set_reply(std::span<const std::byte> body) {
  reply_length = uint32_t(std::min(body.size(), reply.size()));
  reply.fill(std::byte(0));
  std::copy_n(body.begin(), reply_length, reply.begin());
}

std::string describe_difference(const Negotiation& kept, const Negotiation& ours) {
  const fuse_init_out then = decode(kept);
  const fuse_init_out now = decode(ours);
  Differences differences;
  differences.compare("major", then.major, now.major);
  differences.compare("minor", then.minor, now.minor);
  differences.compare("max_readahead", then.max_readahead, now.max_readahead);
  differences.compare_bits("flags", then.flags, now.flags);
  differences.compare_bits("flags2", then.flags2, now.flags2);
  differences.compare("max_background", then.max_background, now.max_background);
  differences.compare("congestion_threshold", then.congestion_threshold, now.congestion_threshold);
  differences.compare("max_write", then.max_write, now.max_write);
  differences.compare("time_gran", then.time_gran, now.time_gran);
  differences.compare("max_pages", then.max_pages, now.max_pages);
  differences.compare("map_alignment", then.map_alignment, now.map_alignment);
  differences.compare("length of the reply", kept.reply_length, ours.reply_length);
  differences.compare("xattr", kept.has_xattr, ours.has_xattr);
  // What this program's linux/fuse.h has no name for.
  if (differences.empty() && kept.reply != ours.reply) return "fields of the reply that are newer than this program";
  return std::move(differences).text();
}

}  // namespace ztmpfs
