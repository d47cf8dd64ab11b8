/* SPDX-License-Identifier: MIT */
/*
 * worker-grpc.cpp - a client process of the gRPC server.
 *
 *     worker-grpc unix:PATH unary|stream protobuf|raw
 *     worker-grpc unix:PATH sync protobuf
 *
 * Role:   the same jobs by gRPC: requests are made once and sent again and again, as the operands stay where they are.
 *         Unary calls by a completion queue, polled by the only thread; or all on one stream. Or blocking calls, one at
 *         a time, with every setting of gRPC as it comes.
 * Thread: one, beside those of gRPC, which sleep.
 */
#include "tests/bench/peers/codec.h"
#include "tests/bench/peers/worker.h"

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <optional>

#include <grpcpp/generic/generic_stub.h>

namespace
{

[[noreturn]] void fail(const char *what, const std::string &why)
{
        fprintf(stderr, "worker-grpc: %s: %s\n", what, why.c_str());
        exit(1);
}

/* A worker's peer; virtual for the sake of the combinations, which costs a nanosecond a job. */
struct peer {
        virtual ~peer() = default;
        virtual void prepare(const worker_task &task) = 0;
        virtual void submit(unsigned slot) = 0;
        virtual unsigned wait() = 0;
        virtual int32_t *product(unsigned slot) = 0;
};

template <typename Codec> class base : public peer
{
      public:
        explicit base(std::shared_ptr<grpc::Channel> channel) : channel_(channel), stub_(channel)
        {
        }

        void prepare(const worker_task &task) override
        {
                product_ = {task.m, task.k, task.n, task.is_resident ? load(task) : 0, task.a, task.b};
                for (unsigned i = 0; i < task.depth; i++) {
                        /* A slot's A is its own, as it would be. */
                        slots_[i].a.assign(task.a, task.a + product_.a_bytes());
                        operands mine = product_;

                        mine.a = slots_[i].a.data();
                        Codec::write_request(mine, slots_[i].request);
                }
        }

        int32_t *product(unsigned slot) override
        {
                return slots_[slot].c;
        }

      protected:
        struct place {
                std::vector<int8_t> a;
                typename Codec::request request;
                typename Codec::response response;
                std::vector<int32_t> room;
                int32_t *c = nullptr;
        };

        void read(place &of)
        {
                of.c = Codec::read_response(product_, of.response, of.room);
        }

        uint64_t load(const worker_task &task)
        {
                grpc::ClientContext context;
                peers::LoadWeightsRequest request;
                peers::LoadWeightsResponse response;

                request.set_k(task.k);
                request.set_n(task.n);
                request.set_b(task.b, task.k * task.n);
                const grpc::Status status =
                        peers::Products::NewStub(channel_)->LoadWeights(&context, request, &response);
                if (!status.ok())
                        fail("weights", status.error_message());
                return response.weights();
        }

        void *next()
        {
                void *tag;
                bool is_ok;

                if (!queue_.Next(&tag, &is_ok) || !is_ok)
                        fail("call", "the server has gone");
                return tag;
        }

        std::shared_ptr<grpc::Channel> channel_;
        grpc::TemplatedGenericStub<typename Codec::request, typename Codec::response> stub_;
        grpc::CompletionQueue queue_;
        operands product_ = {};
        place slots_[WORKER_DEPTH_MAX];
};

template <typename Codec> class unary final : public base<Codec>
{
      public:
        using base<Codec>::base;

        void submit(unsigned slot) override
        {
                call &mine = calls_[slot];

                mine.reader.reset();
                mine.context.emplace();
                mine.reader = this->stub_.PrepareUnaryCall(&*mine.context, Codec::unary,
                                                           this->slots_[slot].request, &this->queue_);
                mine.reader->StartCall();
                mine.reader->Finish(&this->slots_[slot].response, &mine.status, &mine);
        }

        unsigned wait() override
        {
                const unsigned slot = static_cast<unsigned>(static_cast<call *>(this->next()) - calls_);

                if (!calls_[slot].status.ok())
                        fail("a job", calls_[slot].status.error_message());
                this->read(this->slots_[slot]);
                return slot;
        }

      private:
        struct call {
                std::optional<grpc::ClientContext> context;
                std::unique_ptr<grpc::ClientAsyncResponseReader<typename Codec::response>> reader;
                grpc::Status status;
        };
        call calls_[WORKER_DEPTH_MAX];
};

class sync final : public base<protobuf_codec>
{
      public:
        explicit sync(std::shared_ptr<grpc::Channel> channel)
            : base(channel), products_(peers::Products::NewStub(channel))
        {
        }

        void submit(unsigned slot) override
        {
                grpc::ClientContext context;
                const grpc::Status status =
                        products_->Matmul(&context, slots_[slot].request, &slots_[slot].response);

                if (!status.ok())
                        fail("a job", status.error_message());
                read(slots_[slot]);
        }

        unsigned wait() override
        {
                return 0; /* submit() has waited */
        }

      private:
        std::unique_ptr<peers::Products::Stub> products_;
};

/* One message at a time may be on its way in and one on its way out: what more there is waits here. */
template <typename Codec> class stream final : public base<Codec>
{
      public:
        explicit stream(std::shared_ptr<grpc::Channel> channel) : base<Codec>(channel)
        {
                pipe_ = this->stub_.PrepareCall(&context_, Codec::stream, &this->queue_);
                pipe_->StartCall(&started_);
                if (this->next() != &started_)
                        fail("stream", "did not start");
        }

        void submit(unsigned slot) override
        {
                to_write_.push_back(slot);
                go_on();
        }

        unsigned wait() override
        {
                for (;;) {
                        go_on();
                        if (this->next() == &written_) {
                                is_writing_ = false;
                                continue;
                        }
                        const unsigned slot = to_read_.front();

                        is_reading_ = false;
                        to_read_.pop_front();
                        this->read(this->slots_[slot]);
                        return slot;
                }
        }

      private:
        void go_on()
        {
                if (!is_writing_ && !to_write_.empty()) {
                        is_writing_ = true;
                        pipe_->Write(this->slots_[to_write_.front()].request, &written_);
                        to_read_.push_back(to_write_.front());
                        to_write_.pop_front();
                }
                if (!is_reading_ && !to_read_.empty()) {
                        is_reading_ = true;
                        pipe_->Read(&this->slots_[to_read_.front()].response, &read_);
                }
        }

        grpc::ClientContext context_;
        std::unique_ptr<grpc::ClientAsyncReaderWriter<typename Codec::request, typename Codec::response>>
                pipe_;
        std::deque<unsigned> to_write_, to_read_;
        bool is_writing_ = false, is_reading_ = false;
        char started_, written_, read_; /* tags */
};

const struct worker_ops ops = {
        [](void *p, const worker_task *task) { static_cast<peer *>(p)->prepare(*task); },
        [](void *p, unsigned slot) { static_cast<peer *>(p)->submit(slot); },
        [](void *p, struct worker *worker) { worker_done(worker, static_cast<peer *>(p)->wait()); },
        [](void *p, unsigned slot) { return static_cast<peer *>(p)->product(slot); },
};

std::unique_ptr<peer> make_peer(std::shared_ptr<grpc::Channel> channel, const std::string &way,
                                const std::string &codec)
{
        if (way == "unary" && codec == "protobuf")
                return std::make_unique<unary<protobuf_codec>>(channel);
        if (way == "sync")
                return std::make_unique<sync>(channel);
        if (way == "unary")
                return std::make_unique<unary<raw_codec>>(channel);
        if (codec == "protobuf")
                return std::make_unique<stream<protobuf_codec>>(channel);
        return std::make_unique<stream<raw_codec>>(channel);
}

} // namespace

int main(int argc, char **argv)
{
        grpc::ChannelArguments arguments;

        if (argc != 4) {
                fprintf(stderr, "usage: worker-grpc unix:PATH unary|stream|sync protobuf|raw\n");
                return 2;
        }
        if (strcmp(argv[2], "sync") != 0)
                set_up([&](const char *name, int value) { arguments.SetInt(name, value); });
        const auto channel =
                grpc::CreateCustomChannel(argv[1], grpc::InsecureChannelCredentials(), arguments);

        if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10)))
                fail(argv[1], "no server there");
        const auto it = make_peer(channel, argv[2], argv[3]);

        worker_run(&ops, it.get());
        fflush(stdout);
        _exit(0); /* open calls need no farewell */
}
