#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "ctl/ztmpfsctl.h"
#include "tests/ctl/scripted_server.h"

namespace ztmpfs {

/// What a run of ztmpfsctl came to.
struct Outcome {
  int exit_code;
  std::string out;
  std::string err;
};

/// A runtime directory of its own, what a server answers there, and ztmpfsctl run against it.
class CtlRig : public testing::Test {
 public:
  /// What GET /v1/stats answers.
  static constexpr const char* kStats =
      R"({"name":"build","mountpoint":"/mnt/build","uptime_seconds":5,"orig_data_size":3221225472,)"
      R"("compr_data_size":1073741824,"mem_used_total":1610612736,"mem_limit":4294967296,"mem_used_max":2147483648,)"
      R"("same_pages":7,"huge_pages":8,"pages_compacted":0,"files":123,"directories":45,"hot_bytes":1048576,)"
      R"("hot_limit":67108864,"reserved_bytes":0,)"
      R"("metadata_bytes":2097152,"pool_payload_bytes":1073741824,"pool_span_bytes":1181116006,"free_span_bytes":0,)"
      R"("compact_freeable_bytes":4096,"checksum_failures":0,"write_back_failures":0,)"
      R"("forgets":9,"requests":{"LOOKUP":12},)"
      R"("psi":{"events":2,"last_event":null,"sources":[{"path":"/proc/pressure/memory","level":"some",)"
      R"("state":"trigger","trigger":"some 200000 2000000","reason":"","events":2,"seconds_since_event":3.25}]},)"
      R"("reclaim":{"runs":4,"stuck_runs":1,"backed_off":0,"freed":{"compaction":1048576,"heap":4096},"last":null},)"
      R"("classes":[{"object_size":64,"pages_per_span":1,"objects_per_span":64,"objects_allocated":128,)"
      R"("objects_used":70,"pages_used":2,"pages_freeable":0},{"object_size":128,"pages_per_span":1,)"
      R"("objects_per_span":32,"objects_allocated":0,"objects_used":0,"pages_used":0,"pages_freeable":0},)"
      R"({"object_size":8192,"pages_per_span":2,"objects_per_span":1,"objects_allocated":5,"objects_used":5,)"
      R"("pages_used":10,"pages_freeable":0}]})";

 protected:
  CtlRig() {
    std::string path = "/tmp/ztmpfs-ctl-XXXXXX";
    directory_ = ::mkdtemp(path.data());
  }
  ~CtlRig() override { std::filesystem::remove_all(directory_); }

  static std::string info(const std::string& name, const std::string& mountpoint) {
    return ScriptedServer::json(R"({"name":")" + name + R"(","mountpoint":")" + mountpoint +
                                R"(","server_pid":11,"holder_pid":10,"version":"0"})");
  }
  static std::map<std::string, std::string> script(const std::string& name, const std::string& mountpoint) {
    return {{"GET /v1/info", info(name, mountpoint)},
            {"GET /v1/stats", ScriptedServer::json(kStats)},
            {"GET /metrics", ScriptedServer::json("# HELP ztmpfs_files Files.\n# TYPE ztmpfs_files gauge\n"
                                                  "ztmpfs_files{mount=\"" +
                                                  name + "\"} 1\n")},
            {"POST /v1/check", ScriptedServer::json(R"({"ok":true,"breaches":[]})")},
            {"POST /v1/compact",
             ScriptedServer::json(
                 R"({"pages_freed":256,"bytes_freed":1048576,"bytes_moved":4096,"milliseconds":3,"stuck":false})")},
            {"POST /v1/shrink",
             ScriptedServer::json(R"({"freed":1048576,"shrinkers":[)"
                                  R"({"shrinker":"free_spans","freed":4096,"moved":0,"stuck":false},)"
                                  R"({"shrinker":"compaction","freed":1044480,"moved":9,"stuck":true}]})")},
            {"POST /v1/set", ScriptedServer::json(R"({"size":2147483648,"hot":67108864,"psi":""})")}};
  }
  std::string socket_path(const std::string& name) const { return directory_ + "/" + name + ".sock"; }
  Outcome run(const std::vector<std::string>& arguments) const {
    std::ostringstream out;
    std::ostringstream err;
    const int exit_code = ztmpfsctl_main(arguments, {.runtime_dir = directory_, .out = out, .err = err});
    return {exit_code, out.str(), err.str()};
  }

  std::string directory_;
};

}  // namespace ztmpfs
