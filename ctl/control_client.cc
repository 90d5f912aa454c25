#include "ctl/control_client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace ztmpfs {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using Protocol = asio::local::stream_protocol;
using Error = boost::system::error_code;

constexpr size_t kAnswerMax = 16 * 1024 * 1024;

// One exchange. Asynchronous, because only asynchronous operations of Asio can time out.
class Exchange {
 public:
  Exchange(const std::string& method, const std::string& target, const std::string& body) {
    request_.method_string(method);
    request_.target(target);
    request_.set(http::field::host, "localhost");
    request_.keep_alive(false);
    if (!body.empty()) request_.set(http::field::content_type, "application/json");
    request_.body() = body;
    request_.prepare_payload();
    parser_.body_limit(kAnswerMax);
  }

  Error run(const std::string& socket_path, std::chrono::seconds patience) {
    stream_.expires_after(patience);
    stream_.async_connect(Protocol::endpoint(socket_path), [this](const Error& error) {
      if (error) return finish(error);
      http::async_write(stream_, request_, [this](const Error& write_error, size_t) {
        if (write_error) return finish(write_error);
        http::async_read(stream_, buffer_, parser_, [this](const Error& read_error, size_t) { finish(read_error); });
      });
    });
    io_.run();
    return error_;
  }

  ControlAnswer answer() { return {parser_.get().result_int(), std::move(parser_.get().body())}; }

 private:
  void finish(const Error& error) { error_ = error; }

  asio::io_context io_{1};
  beast::basic_stream<Protocol> stream_{io_};
  http::request<http::string_body> request_;
  beast::flat_buffer buffer_;
  http::response_parser<http::string_body> parser_;
  Error error_;
};

}  // namespace

ControlAnswer control_request(const std::string& socket_path, const std::string& method, const std::string& target,
                              std::chrono::seconds patience, const std::string& body) {
  Exchange exchange(method, target, body);
  const Error error = exchange.run(socket_path, patience);
  if (error == boost::system::errc::connection_refused || error == boost::system::errc::no_such_file_or_directory)
    throw NotServed("nobody answers on " + socket_path);
  if (error == beast::error::timeout)
    throw std::runtime_error(socket_path + " gives no answer within " + std::to_string(patience.count()) + " s");
  if (error) throw std::runtime_error(socket_path + ": " + error.message());
  return exchange.answer();
}

}  // namespace ztmpfs
