#include "tests/daemon/control_fuzzer.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <string_view>

#include "base/check.h"
#include "base/unix_address.h"
#include "daemon/control_routes.h"
#include "daemon/unix_listener.h"

namespace ztmpfs {

namespace {

constexpr std::string_view kStatusLine = "HTTP/1.1 ";
constexpr std::string_view kGoodRequest = "GET /v1/stats HTTP/1.1\r\nConnection: close\r\n\r\n";

Options fuzzed_options() {
  return resolve_options("fuzzed", "/mnt", split_settings("size=64M,psi=off"), {.usable_ram = 8 * kGiB, .cpus = 1});
}

VolumeOptions limits() {
  VolumeOptions options = volume_options(fuzzed_options());
  options.count_heaps = false;
  return options;
}

ImageGeometry geometry() {
  ImageGeometry geometry = image_geometry(fuzzed_options());
  geometry.request_slots = 1;
  return geometry;
}

// Of each answer; the bodies are JSON, which never begins a line so.
std::vector<unsigned> statuses_of(std::string_view answers) {
  ZTMPFS_CHECK(answers.empty() || answers.starts_with(kStatusLine), "an answer that is not HTTP");
  std::vector<unsigned> statuses;
  for (size_t at = answers.find(kStatusLine); at != std::string_view::npos; at = answers.find(kStatusLine, at + 1)) {
    if (at != 0 && answers[at - 1] != '\n') continue;
    unsigned status = 0;
    std::from_chars(answers.data() + at + kStatusLine.size(), answers.data() + answers.size(), status);
    statuses.push_back(status);
  }
  return statuses;
}

}  // namespace

ControlFuzzer::ControlFuzzer()
    : volume_(ImageFiles::create(geometry()), limits(), clock_),
      live_options_(fuzzed_options(), volume_, [this](const std::string& psi) { psi_.push_back(psi); }),
      server_(std::make_unique<ControlServer>(io_, listen_on(directory_.path() + "/sock", SOCK_STREAM), routes())) {}

ControlFuzzer::~ControlFuzzer() = default;

std::vector<ControlRoute> ControlFuzzer::routes() {
  ControlSource source;
  source.info = {.name = "fuzzed", .mountpoint = "/mnt", .server_pid = 1, .holder_pid = 1};
  source.stats = [this] {
    ServerStats stats{};
    stats.volume = volume_.stats();
    return stats;
  };
  source.audit = [this] { return volume_.fs().audit(); };
  source.compact = [this] { return volume_.compact(); };
  source.shrink = [this](const ReclaimRequest& request) { return volume_.reclaimer().run(request); };
  source.change = [this](const std::vector<Setting>& settings) {
    const LiveValues values = live_options_.change(settings);
    ++changes_;
    return values;
  };
  return control_routes(std::move(source));
}

std::vector<unsigned> ControlFuzzer::feed(std::span<const uint8_t> input) {
  if (input.empty()) return {};
  const Bytes size_before = volume_.budget().limit();
  const size_t psi_before = psi_.size();
  changes_ = 0;
  const auto statuses = statuses_of(exchange(input.subspan(1), 1 + input[0] % 8));
  for (const unsigned status : statuses) ZTMPFS_CHECK(status != 500, "a request that fails by our fault");
  ZTMPFS_CHECK(changes_ != 0 || (volume_.budget().limit() == size_before && psi_.size() == psi_before),
               "something was changed by a request that was refused");
  const std::span good(reinterpret_cast<const uint8_t*>(kGoodRequest.data()), kGoodRequest.size());
  ZTMPFS_CHECK(statuses_of(exchange(good, 1)) == std::vector<unsigned>{200}, "the next client is not served");
  return statuses;
}

std::string ControlFuzzer::exchange(std::span<const uint8_t> bytes, size_t pieces) {
  const UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_un address = unix_address(directory_.path() + "/sock");
  ZTMPFS_CHECK(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0,
               "nobody listens");
  const size_t piece = bytes.size() / pieces + 1;
  std::string answers;
  bool is_open = true;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (is_open) {
    ZTMPFS_CHECK(std::chrono::steady_clock::now() < deadline, "an answer does not come");
    const size_t length = std::min(piece, bytes.size());
    const ssize_t sent = length != 0 ? ::send(client.get(), bytes.data(), length, MSG_NOSIGNAL) : -1;
    if (sent > 0) bytes = bytes.subspan(size_t(sent));
    if (bytes.empty() || (sent < 0 && errno != EAGAIN)) ::shutdown(client.get(), SHUT_WR);
    // Slow routes answer from a thread of their own.
    if (io_.poll() == 0) io_.run_one_for(std::chrono::milliseconds(1));
    std::array<char, 65536> chunk{};
    const ssize_t count = ::recv(client.get(), chunk.data(), chunk.size(), 0);
    if (count > 0) answers.append(chunk.data(), size_t(count));
    is_open = count > 0 || (count < 0 && errno == EAGAIN);
  }
  return answers;
}

}  // namespace ztmpfs
