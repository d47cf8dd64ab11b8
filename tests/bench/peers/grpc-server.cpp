/* SPDX-License-Identifier: MIT */
/*
 * grpc-server.cpp - the peer: the same product as a gRPC service on a Unix socket.
 *
 *     grpc-server unix:PATH onednn|ours [sync]
 *
 * Role:   LoadWeights and Matmul of peers.proto by the asynchronous API: unary and as a stream, with protobuf and raw.
 *         With "sync" instead as gRPC's introduction has it: the synchronous API, and every setting as it comes.
 *         Says "ready" on stdout when it serves; a signal ends it.
 * Thread: one (but for "sync"), which polls, computes and answers: to hand nothing over is the fastest that gRPC has,
 *         and what the daemon does, too. (gRPC's own timer and executor threads sleep.)
 * Never:  doubts its clients: it knows them.
 */
#include "tests/bench/peers/codec.h"
#include "tests/bench/peers/product.h"

#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

namespace
{

const struct product_ops *ops;
std::vector<void *> all_weights; /* handle n is the (n-1)th; for ever */

/* What a completion queue's tags are. */
struct event {
        virtual ~event() = default;
        virtual void happen(bool is_ok) = 0;
};

/*
 * Messages that are used again, the last one first: it is still in the cache, and a matrix that has been in it once
 * needs neither new pages nor zeros.
 */
template <typename Message> class pool
{
      public:
        using pointer = std::unique_ptr<Message>;

        static pointer take()
        {
                if (free_.empty())
                        return std::make_unique<Message>();
                pointer message = std::move(free_.back());

                free_.pop_back();
                return message;
        }

        static void give(pointer message)
        {
                free_.push_back(std::move(message));
        }

      private:
        static inline std::vector<pointer> free_;
};

std::vector<int8_t> room; /* for what has to be put together before it can be computed with */

/* A call that waits for a client, answers one message, and waits for the next client. Lives as long as the server. */
template <typename Request, typename Response> class unary_call final : public event
{
      public:
        using responder = grpc::ServerAsyncResponseWriter<Response>;
        using accept_fn = std::function<void(grpc::ServerContext *, Request *, responder *, void *tag)>;
        using answer_fn = void (*)(const Request &, Response &);

        unary_call(accept_fn accept, answer_fn answer) : accept_(std::move(accept)), answer_(answer)
        {
                wait();
        }

        void happen(bool) override
        {
                if (response_) {
                        pool<Response>::give(std::move(response_));
                        wait();
                        return;
                }
                response_ = pool<Response>::take();
                answer_(request_, *response_);
                request_ = Request(); /* many calls wait: their memory goes to the next one that does not */
                responder_->Finish(*response_, grpc::Status::OK, static_cast<event *>(this));
        }

      private:
        void wait()
        {
                responder_.reset();
                context_.emplace();
                responder_.emplace(&*context_);
                accept_(&*context_, &request_, &*responder_, static_cast<event *>(this));
        }

        accept_fn accept_;
        answer_fn answer_;
        std::optional<grpc::ServerContext> context_;
        std::optional<responder> responder_;
        Request request_;
        std::unique_ptr<Response> response_; /* while it is on its way */
};

/* A stream: the next message is on its way in while the last answer is on its way out. */
template <typename Codec> class stream_call
{
      public:
        using pipe = grpc::ServerAsyncReaderWriter<typename Codec::response, typename Codec::request>;
        using accept_fn = std::function<void(grpc::ServerContext *, pipe *, void *tag)>;
        using answer_fn = void (*)(const typename Codec::request &, typename Codec::response &);

        stream_call(accept_fn accept, answer_fn answer) : accept_(std::move(accept)), answer_(answer)
        {
                wait();
        }

      private:
        struct step final : event {
                void (stream_call::*then)(bool);
                stream_call *call;

                step(stream_call *call_, void (stream_call::*then_)(bool)) : then(then_), call(call_)
                {
                }
                void happen(bool is_ok) override
                {
                        (call->*then)(is_ok);
                }
        };

        void wait()
        {
                pipe_.reset();
                context_.emplace();
                pipe_.emplace(&*context_);
                accept_(&*context_, &*pipe_, static_cast<event *>(&accepted_));
        }

        void on_accepted(bool)
        {
                is_reading_ = true;
                pipe_->Read(&request_, static_cast<event *>(&read_));
        }

        void on_read(bool is_ok)
        {
                is_reading_ = false;
                is_over_ = !is_ok;
                go_on();
        }

        void on_written(bool)
        {
                is_writing_ = false;
                go_on();
        }

        void on_finished(bool)
        {
                is_over_ = false;
                wait();
        }

        void go_on()
        {
                if (is_reading_ || is_writing_)
                        return;
                if (is_over_) {
                        pipe_->Finish(grpc::Status::OK, static_cast<event *>(&finished_));
                        return;
                }
                answer_(request_, response_);
                is_writing_ = is_reading_ = true;
                pipe_->Write(response_, static_cast<event *>(&written_));
                pipe_->Read(&request_, static_cast<event *>(&read_));
        }

        accept_fn accept_;
        answer_fn answer_;
        std::optional<grpc::ServerContext> context_;
        std::optional<pipe> pipe_;
        typename Codec::request request_;
        typename Codec::response response_;
        bool is_reading_ = false, is_writing_ = false, is_over_ = false;
        step accepted_{this, &stream_call::on_accepted}, read_{this, &stream_call::on_read},
                written_{this, &stream_call::on_written}, finished_{this, &stream_call::on_finished};
};

void say_ready()
{
        puts("ready");
        fflush(stdout);
}

void load_weights(const peers::LoadWeightsRequest &request, peers::LoadWeightsResponse &response)
{
        const int8_t *b = reinterpret_cast<const int8_t *>(request.b().data());

        all_weights.push_back(ops->load(b, request.k(), request.n()));
        response.set_weights(all_weights.size());
}

template <typename Codec>
void matmul(const typename Codec::request &request, typename Codec::response &response)
{
        const operands product = Codec::read_request(request, room);
        void *weights = product.weights ? all_weights.at(product.weights - 1) : nullptr;

        Codec::write_response(product, response, [&](int32_t *c) {
                ops->run(weights, product.a, weights ? nullptr : product.b, product.m, product.k, product.n,
                         c);
        });
}

using service_type = peers::Products::WithAsyncMethod_LoadWeights<peers::Products::WithAsyncMethod_Matmul<
        peers::Products::WithAsyncMethod_MatmulStream<peers::Products::WithRawMethod_MatmulBytes<
                peers::Products::WithRawMethod_MatmulBytesStream<peers::Products::Service>>>>>;

void serve(service_type &service, grpc::ServerCompletionQueue *queue)
{
        /* As many as clients can have outstanding together, so that none waits for a place. */
        static const int n_calls = 256, n_streams = 16;
        std::vector<std::shared_ptr<void>> calls;
        void *tag;
        bool is_ok;

        const auto unary = [&](auto accept, auto answer, auto request, auto response) {
                using call = unary_call<decltype(request), decltype(response)>;
                for (int i = 0; i < n_calls; i++)
                        calls.push_back(std::make_shared<call>(
                                [&service, queue, accept](auto *context, auto *to, auto *responder,
                                                          void *at) {
                                        (service.*accept)(context, to, responder, queue, queue, at);
                                },
                                answer));
        };
        const auto stream = [&](auto accept, auto codec) {
                using call = stream_call<decltype(codec)>;
                for (int i = 0; i < n_streams; i++)
                        calls.push_back(std::make_shared<call>(
                                [&service, queue, accept](auto *context, auto *pipe, void *at) {
                                        (service.*accept)(context, pipe, queue, queue, at);
                                },
                                matmul<decltype(codec)>));
        };

        unary(&service_type::RequestLoadWeights, load_weights, peers::LoadWeightsRequest(),
              peers::LoadWeightsResponse());
        unary(&service_type::RequestMatmul, matmul<protobuf_codec>, protobuf_codec::request(),
              protobuf_codec::response());
        unary(&service_type::RequestMatmulBytes, matmul<raw_codec>, raw_codec::request(),
              raw_codec::response());
        stream(&service_type::RequestMatmulStream, protobuf_codec());
        stream(&service_type::RequestMatmulBytesStream, raw_codec());
        say_ready();
        while (queue->Next(&tag, &is_ok))
                static_cast<event *>(tag)->happen(is_ok);
}

/* One product at a time, by whichever of gRPC's threads it is. */
class sync_service final : public peers::Products::Service
{
        grpc::Status LoadWeights(grpc::ServerContext *, const peers::LoadWeightsRequest *request,
                                 peers::LoadWeightsResponse *response) override
        {
                const std::lock_guard<std::mutex> guard(mutex_);

                load_weights(*request, *response);
                return grpc::Status::OK;
        }

        grpc::Status Matmul(grpc::ServerContext *, const peers::MatmulRequest *request,
                            peers::MatmulResponse *response) override
        {
                const std::lock_guard<std::mutex> guard(mutex_);

                matmul<protobuf_codec>(*request, *response);
                return grpc::Status::OK;
        }

        std::mutex mutex_;
};

int serve_sync(const char *address)
{
        sync_service service;
        grpc::ServerBuilder builder;

        builder.AddListeningPort(address, grpc::InsecureServerCredentials());
        builder.RegisterService(&service);
        const auto server = builder.BuildAndStart();

        if (!server)
                return 1;
        say_ready();
        server->Wait();
        return 0;
}

} // namespace

int main(int argc, char **argv)
{
        service_type service;
        grpc::ServerBuilder builder;

        if (argc < 3) {
                fprintf(stderr, "usage: grpc-server unix:PATH onednn|ours [sync]\n");
                return 2;
        }
        ops = strcmp(argv[2], "ours") == 0 ? &product_ours : &product_onednn;
        if (argc > 3)
                return serve_sync(argv[1]);
        set_up([&](const char *name, int value) { builder.AddChannelArgument(name, value); });
        builder.AddListeningPort(argv[1], grpc::InsecureServerCredentials());
        builder.RegisterService(&service);
        const auto queue = builder.AddCompletionQueue();
        const auto server = builder.BuildAndStart();

        if (!server) {
                fprintf(stderr, "grpc-server: cannot serve %s\n", argv[1]);
                return 1;
        }
        serve(service, queue.get());
        return 0;
}
