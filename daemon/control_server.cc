#include "daemon/control_server.h"

#include <boost/asio/post.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <utility>

#include "base/log.h"

namespace ztmpfs {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using Protocol = asio::local::stream_protocol;
using Error = boost::system::error_code;

constexpr std::chrono::seconds kIdleMax{30};
constexpr std::chrono::milliseconds kAcceptPause{100};

ControlReply run_route(const ControlRoute& route, const std::string& body) {
  try {
    return route.answer(body);
  } catch (const std::invalid_argument& error) {
    return control_error(400, error.what());
  } catch (const Refusal& error) {
    return control_error(409, error.what());
  } catch (const std::exception& error) {
    return control_error(500, error.what());
  }
}

// The status for a request that could not be read.
unsigned status_of(const Error& error) {
  if (error == http::error::header_limit) return 431;
  if (error == http::error::body_limit) return 413;
  return 400;
}

bool is_bad_request(const Error& error) {
  return error.category() == http::make_error_code(http::error::bad_method).category() &&
         error != http::error::end_of_stream && error != http::error::partial_message;
}

}  // namespace

ControlReply control_error(unsigned status, const std::string& sentence) {
  return {status, "application/json", boost::json::serialize(boost::json::object{{"error", sentence}}) + "\n"};
}

// Into a socket's buffer, which is empty: never blocks.
void turn_away(Protocol::socket& socket) {
  http::response<http::string_body> response(http::status::service_unavailable, 11);
  response.set(http::field::content_type, "application/json");
  response.keep_alive(false);
  response.body() = control_error(503, "too many connections").body;
  response.prepare_payload();
  Error ignored;
  socket.non_blocking(true, ignored);
  http::write(socket, response, ignored);
}

// One client: reads a request, answers it, and so on until it leaves, errs or falls silent.
class ControlServer::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(ControlServer& server, Protocol::socket socket) : server_(server), stream_(std::move(socket)) {
    ++server_.connections_;
  }
  ~Connection() { --server_.connections_; }

  void read() {
    parser_.emplace();
    parser_->header_limit(kHeaderMax);
    parser_->body_limit(kBodyMax);
    stream_.expires_after(kIdleMax);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](const Error& error, size_t) { self->on_read(error); });
  }

 private:
  void on_read(const Error& error) {
    if (error) {
      if (is_bad_request(error)) reply(control_error(status_of(error), "bad request: " + error.message()), false);
      return;
    }
    const auto& request = parser_->get();
    ControlReply refusal;
    const std::string target(request.target());
    const ControlRoute* route = server_.find_route(std::string(request.method_string()), target, refusal);
    if (route == nullptr) return reply(std::move(refusal), request.keep_alive());
    if (!route->is_slow) return reply(run_route(*route, request.body()), request.keep_alive());
    stream_.expires_never();
    asio::post(server_.slow_, [self = shared_from_this(), route] {
      ControlReply answer = run_route(*route, self->parser_->get().body());
      // The last reference is dropped on the io_context's thread: the connection belongs to it.
      asio::post(self->server_.io_, [self, answer = std::move(answer)]() mutable {
        self->reply(std::move(answer), self->parser_->get().keep_alive());
      });
    });
  }

  void reply(ControlReply answer, bool keep_alive) {
    response_ = {};
    response_.version(11);
    response_.result(answer.status);
    response_.set(http::field::server, "ztmpfs");
    response_.set(http::field::content_type, answer.content_type);
    response_.keep_alive(keep_alive);
    response_.body() = std::move(answer.body);
    response_.prepare_payload();
    stream_.expires_after(kIdleMax);
    http::async_write(stream_, response_, [self = shared_from_this(), keep_alive](const Error& error, size_t) {
      if (error) return;
      if (keep_alive) return self->read();
      Error ignored;
      self->stream_.socket().shutdown(Protocol::socket::shutdown_both, ignored);
    });
  }

  ControlServer& server_;
  beast::basic_stream<Protocol> stream_;
  beast::flat_buffer buffer_{kHeaderMax + kBodyMax};
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
};

ControlServer::ControlServer(asio::io_context& io, UniqueFd listener, std::vector<ControlRoute> routes)
    : io_(io), routes_(std::move(routes)), acceptor_(io, Protocol(), listener.get()), pause_(io) {
  listener.release();
  accept();
}

ControlServer::~ControlServer() {
  close();
  slow_.join();
}

void ControlServer::run_slowly(std::function<void()> task) { asio::post(slow_, std::move(task)); }

void ControlServer::close() {
  if (!acceptor_.is_open()) return;
  Error ignored;
  acceptor_.close(ignored);
  pause_.cancel();
}

void ControlServer::accept() {
  acceptor_.async_accept([this](const Error& error, Protocol::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (error) {
      log_limited(LogLevel::kWarning, "control accept", "control socket: " + error.message());
      return accept_later();
    }
    if (connections_ < kConnectionsMax) {
      std::make_shared<Connection>(*this, std::move(socket))->read();
    } else {
      turn_away(socket);
    }
    accept();
  });
}

// No descriptor is free, most likely: the client waits on, and to try again at once would be a busy loop.
void ControlServer::accept_later() {
  pause_.expires_after(kAcceptPause);
  pause_.async_wait([this](const Error& error) {
    if (!error && acceptor_.is_open()) accept();
  });
}

const ControlRoute* ControlServer::find_route(const std::string& method, const std::string& path,
                                              ControlReply& refusal) const {
  refusal = control_error(404, "there is no " + path + " here");
  for (const ControlRoute& route : routes_) {
    if (route.path != path) continue;
    if (route.method == method) return &route;
    refusal = control_error(405, path + " takes " + route.method + ", not " + method);
  }
  return nullptr;
}

}  // namespace ztmpfs
