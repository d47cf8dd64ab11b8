/* SPDX-License-Identifier: MIT */
/*
 * product-onednn.cpp - s8 x s8 = s32 by oneDNN 2, on the thread that calls.
 *
 * Role:   the fastest way that it has for each case: a matmul primitive made once for a shape and kept. With resident
 *         weights B is in the layout that the primitive asks for; without, row-major. (dnnl_gemm_s8s8s32 needs 1.0 to
 *         1.5 times as long as the latter.)
 * Thread: one: a primitive must not be executed by two threads at a time.
 */
#include "tests/bench/peers/product.h"

#include <cstring>
#include <map>
#include <tuple>
#include <unordered_map>
#include <vector>

#include <oneapi/dnnl/dnnl.hpp>

namespace
{

using dnnl::memory;
using tag = memory::format_tag;

struct runner {
        dnnl::matmul matmul;
        memory a, b, c;
};

struct weights {
        std::vector<int8_t> b;
        uint64_t k, n;
        std::unordered_map<uint64_t, runner> runners; /* by M: each may want a layout of its own */
};

dnnl::engine &engine()
{
        static dnnl::engine the_engine(dnnl::engine::kind::cpu, 0);

        return the_engine;
}

dnnl::stream &stream()
{
        static dnnl::stream the_stream(engine());

        return the_stream;
}

/* Memory objects without memory: addresses come with each product. */
runner make_runner(uint64_t m, uint64_t k, uint64_t n, tag b_tag)
{
        const auto dim = [](uint64_t x) { return static_cast<memory::dim>(x); };
        const memory::desc a({dim(m), dim(k)}, memory::data_type::s8, tag::ab);
        const memory::desc b({dim(k), dim(n)}, memory::data_type::s8, b_tag);
        const memory::desc c({dim(m), dim(n)}, memory::data_type::s32, tag::ab);
        const dnnl::matmul::primitive_desc primitive(dnnl::matmul::desc(a, b, c), engine());

        return {dnnl::matmul(primitive), memory(a, engine(), nullptr),
                b_tag == tag::any ? memory(primitive.weights_desc(), engine())
                                  : memory(primitive.weights_desc(), engine(), nullptr),
                memory(c, engine(), nullptr)};
}

runner &resident_runner(weights &w, uint64_t m)
{
        const auto found = w.runners.find(m);

        if (found != w.runners.end())
                return found->second;
        runner &made = w.runners.emplace(m, make_runner(m, w.k, w.n, tag::any)).first->second;
        const memory::desc rows({static_cast<memory::dim>(w.k), static_cast<memory::dim>(w.n)},
                                memory::data_type::s8, tag::ab);
        memory plain(rows, engine(), w.b.data());

        dnnl::reorder(plain, made.b).execute(stream(), plain, made.b);
        stream().wait();
        return made;
}

runner &plain_runner(uint64_t m, uint64_t k, uint64_t n)
{
        static std::map<std::tuple<uint64_t, uint64_t, uint64_t>, runner> runners;
        const auto found = runners.find({m, k, n});

        return found != runners.end()
                       ? found->second
                       : runners.emplace(std::make_tuple(m, k, n), make_runner(m, k, n, tag::ab))
                                 .first->second;
}

void *load(const int8_t *b, uint64_t k, uint64_t n)
{
        return new weights{std::vector<int8_t>(b, b + k * n), k, n, {}};
}

void run(void *resident, const int8_t *a, const int8_t *b, uint64_t m, uint64_t k, uint64_t n, int32_t *ret_c)
{
        runner &r = resident ? resident_runner(*static_cast<weights *>(resident), m) : plain_runner(m, k, n);

        r.a.set_data_handle(const_cast<int8_t *>(a));
        if (!resident)
                r.b.set_data_handle(const_cast<int8_t *>(b));
        r.c.set_data_handle(ret_c);
        r.matmul.execute(stream(), {{DNNL_ARG_SRC, r.a}, {DNNL_ARG_WEIGHTS, r.b}, {DNNL_ARG_DST, r.c}});
        stream().wait();
}

} // namespace

const struct product_ops product_onednn = {load, run};
