#include "daemon/holder_start.h"

#include <array>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <utility>

#include "base/bytes.h"
#include "base/runtime_dir.h"
#include "daemon/adopted_mount.h"

namespace ztmpfs {

namespace {

constexpr std::chrono::seconds kEndingMax{5};
constexpr std::chrono::milliseconds kRetryInterval{10};
constexpr std::chrono::seconds kPatience{10};

// The image, and the claim on the name, of a holder whose mount has ended.
constexpr size_t kDescriptorsTaken = 4;

// Nothing if it is worth trying again.
std::optional<HolderStart> take_over(const Options& options, const std::string& runtime_dir) {
  HolderClient predecessor(holder_socket_path(runtime_dir, options.name));
  if (!predecessor.is_connected()) return std::nullopt;
  auto answer = predecessor.ask(HolderRequest::kTake, kPatience);
  if (!answer || answer->verdict == HolderVerdict::kBusy) return std::nullopt;
  if (answer->verdict != HolderVerdict::kDone) throw std::runtime_error(answer->text);
  if (answer->descriptors.size() != kDescriptorsTaken)
    throw std::runtime_error("what holds the name " + options.name + " is not this version of ztmpfs");
  auto next = answer->descriptors.begin();
  ImageFiles image;
  for (UniqueFd* fd : {&image.meta, &image.data, &image.buffers}) *fd = std::move(*next++);
  Options fitting = fit_options(options, image);
  image.forget_changed_options();
  return HolderStart{.options = std::move(fitting),
                     .lock = NameLock(runtime_dir, options.name, std::move(*next)),
                     .image = std::move(image),
                     .has_contents = true,
                     .predecessor = std::move(predecessor)};
}

// If the mount has ended meanwhile, its contents get another one.
HolderStart adopt(const Options& options, NameLock lock, StoredDescriptors stored) {
  HolderStart start{.options = adopt_options(options, stored.image),
                    .lock = std::move(lock),
                    .image = std::move(stored.image),
                    .has_contents = true,
                    .is_stored = true};
  const MountDescription description = start.image.mount_description();
  const MountPoint mountpoint{description.mountpoint, description.device, stored.fuse.get()};
  if (mountpoint.is_connected()) {
    start.connection = std::move(stored.fuse);
    start.mountpoint = mountpoint;
  } else {
    if (mountpoint.is_mounted()) unmount(mountpoint, true);
    check_mountpoint(start.options.mountpoint);
  }
  return start;
}

}  // namespace

HolderStart begin_holding(const Options& options, std::optional<StoredDescriptors> stored) {
  const std::string directory = runtime_dir();
  make_runtime_dir(directory);
  const auto start = std::chrono::steady_clock::now();
  while (true) {
    if (auto lock = NameLock::try_claim(directory, options.name)) {
      if (stored) return adopt(options, std::move(*lock), std::move(*stored));
      return {.options = options, .lock = std::move(*lock), .image = ImageFiles::create(image_geometry(options))};
    }
    if (!stored)
      if (auto taken = take_over(options, directory)) return std::move(*taken);
    if (std::chrono::steady_clock::now() - start > kEndingMax)
      throw std::runtime_error("a ztmpfs named " + options.name +
                               " has not ended yet: it is still in use, or detached");
    std::this_thread::sleep_for(kRetryInterval);
  }
}

Options fit_options(Options options, const ImageFiles& image) {
  const std::string kept = "the contents kept of " + options.name;
  const ImageGeometry geometry = image.geometry();
  if (!options.block_chosen) options.block_size = geometry.block_size;
  if (options.block_size != geometry.block_size)
    throw std::runtime_error("option 'block=" + std::to_string(options.block_size) + "' is not possible: " + kept +
                             " are in blocks of " + format_bytes(geometry.block_size));
  if (options.size > geometry.capacity)
    throw std::runtime_error("option 'size' is more than " + format_bytes(geometry.capacity) + ", the most that " +
                             kept + " can grow to");
  const Bytes used = image.allocated();
  const Bytes room = options.size - std::min(memory_reserve(options.size), options.size);
  if (used > room)
    throw std::runtime_error("option 'size' is too small: " + kept + " take " + format_bytes(used) + ", and " +
                             format_bytes(options.size) + " leave room for " + format_bytes(room));
  return options;
}

}  // namespace ztmpfs
