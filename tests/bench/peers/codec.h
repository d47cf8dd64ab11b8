/* SPDX-License-Identifier: MIT */
/*
 * codec.h - a product's messages in the two forms that they travel in, and how both sides of gRPC are set up.
 *
 * Role:   `protobuf_codec` is what a program does with generated classes: objects are kept and used again, so that
 *         nothing large is allocated, but bytes are copied into and out of messages. `raw_codec` is as little as gRPC
 *         can do: a message is put together from slices where the bytes lie, C is computed into the slice that is
 *         sent, and only what has been received in pieces is copied, once, to where it is contiguous.
 * Thread: one at each end.
 */
#ifndef TESTS_BENCH_PEERS_CODEC_H
#define TESTS_BENCH_PEERS_CODEC_H

#include "peers.grpc.pb.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include <grpcpp/grpcpp.h>
#include <malloc.h>

/* C = A . B; without weights B travels, too. */
struct operands {
        uint64_t m, k, n, weights;
        const int8_t *a, *b;

        uint64_t a_bytes() const
        {
                return m * k;
        }
        uint64_t b_bytes() const
        {
                return weights ? 0 : k * n;
        }
        uint64_t c_bytes() const
        {
                return m * n * sizeof(int32_t);
        }
};

struct protobuf_codec {
        using request = peers::MatmulRequest;
        using response = peers::MatmulResponse;
        static constexpr const char *unary = "/peers.Products/Matmul";
        static constexpr const char *stream = "/peers.Products/MatmulStream";

        static void write_request(const operands &product, request &ret_request)
        {
                ret_request.set_m(product.m);
                ret_request.set_k(product.k);
                ret_request.set_n(product.n);
                ret_request.set_a(product.a, product.a_bytes());
                ret_request.set_b(product.b, product.b_bytes());
                ret_request.set_weights(product.weights);
        }

        static operands read_request(const request &from, std::vector<int8_t> &)
        {
                return {from.m(),
                        from.k(),
                        from.n(),
                        from.weights(),
                        reinterpret_cast<const int8_t *>(from.a().data()),
                        reinterpret_cast<const int8_t *>(from.b().data())};
        }

        template <typename F>
        static void write_response(const operands &product, response &ret_response, F compute)
        {
                std::string &c = *ret_response.mutable_c();

                c.resize(product.c_bytes()); /* of the same size as before: nothing happens */
                compute(reinterpret_cast<int32_t *>(&c[0]));
        }

        static int32_t *read_response(const operands &, response &from, std::vector<int32_t> &)
        {
                return reinterpret_cast<int32_t *>(&(*from.mutable_c())[0]);
        }
};

struct raw_codec {
        using request = grpc::ByteBuffer;
        using response = grpc::ByteBuffer;
        static constexpr const char *unary = "/peers.Products/MatmulBytes";
        static constexpr const char *stream = "/peers.Products/MatmulBytesStream";

        struct header {
                uint64_t m, k, n, weights;
        };

        /* The product's memory must stay until the response has come. */
        static void write_request(const operands &product, request &ret_request)
        {
                const header head = {product.m, product.k, product.n, product.weights};
                const grpc::Slice slices[] = {
                        grpc::Slice(&head, sizeof head),
                        grpc::Slice(product.a, product.a_bytes(), grpc::Slice::STATIC_SLICE),
                        grpc::Slice(product.b, product.b_bytes(), grpc::Slice::STATIC_SLICE),
                };

                ret_request = grpc::ByteBuffer(slices, product.weights ? 2 : 3);
        }

        /* One copy, as slices come in the sizes in which they were read. */
        static void gather(const grpc::ByteBuffer &from, void *bytes, size_t room)
        {
                std::vector<grpc::Slice> slices;
                uint8_t *at = static_cast<uint8_t *>(bytes);

                if (from.Length() != room || !from.Dump(&slices).ok())
                        abort();
                for (const grpc::Slice &slice : slices) {
                        memcpy(at, slice.begin(), slice.size());
                        at += slice.size();
                }
        }

        static operands read_request(const request &from, std::vector<int8_t> &room)
        {
                header head;

                room.resize(from.Length());
                gather(from, room.data(), room.size());
                memcpy(&head, room.data(), sizeof head);
                return {head.m,
                        head.k,
                        head.n,
                        head.weights,
                        room.data() + sizeof head,
                        room.data() + sizeof head + head.m * head.k};
        }

        template <typename F>
        static void write_response(const operands &product, response &ret_response, F compute)
        {
                const grpc::Slice slice(product.c_bytes());

                compute(reinterpret_cast<int32_t *>(const_cast<uint8_t *>(slice.begin())));
                ret_response = grpc::ByteBuffer(&slice, 1);
        }

        static int32_t *read_response(const operands &product, response &from, std::vector<int32_t> &room)
        {
                room.resize(product.m * product.n);
                gather(from, room.data(), product.c_bytes());
                from.Clear();
                return room.data();
        }
};

/*
 * What both sides are told, by set(name, value): nothing that is not needed, windows and frames that hold a matrix.
 * Sizes of reads and writes make no difference.
 */
template <typename Set> void set_up(Set set)
{
        set(GRPC_ARG_MINIMAL_STACK, 1);
        set(GRPC_ARG_ENABLE_RETRIES, 0);
        set(GRPC_ARG_ENABLE_CHANNELZ, 0);
        set(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, -1);
        set(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1);
        set(GRPC_ARG_HTTP2_BDP_PROBE, 0);
        set(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 64 << 20);
        set(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 16777215);
        /* Large blocks from the heap, where they stay mapped: no page is given back and faulted in again. */
        mallopt(M_MMAP_THRESHOLD, 32 << 20);
        mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

#endif
