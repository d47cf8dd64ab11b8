/* SPDX-License-Identifier: MIT */
/*
 * aie.hpp - what the kernel uses of the AIE API, as its documentation defines it, one element at a time.
 *
 * Role:   runs the kernel's vector path on the host. It shows that the path adds up the right blocks, and that each
 *         access is aligned as the NPU wants it; not what Peano makes of it.
 */
#ifndef TESTS_XCLBIN_AIE_HPP
#define TESTS_XCLBIN_AIE_HPP

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace aie
{

template <typename T, unsigned N> struct vector {
        static_assert(sizeof(T) * N >= 16 && sizeof(T) * N <= 128,
                      "the NPU has vectors of 128 to 1,024 bits");
        T elements[N];
};

/* Loads and stores go by 32 bytes; an address that is no multiple would be rounded down. */
inline void check_aligned(const void *address)
{
        if (reinterpret_cast<std::uintptr_t>(address) % 32 != 0) {
                std::fprintf(stderr, "a vector at %p\n", address);
                std::abort();
        }
}

template <unsigned N, typename T> vector<T, N> load_v(const T *from)
{
        vector<T, N> v;

        check_aligned(from);
        for (unsigned i = 0; i < N; i++)
                v.elements[i] = from[i];
        return v;
}

template <typename T, unsigned N> void store_v(T *to, const vector<T, N> &v)
{
        check_aligned(to);
        for (unsigned i = 0; i < N; i++)
                to[i] = v.elements[i];
}

template <typename T, unsigned N> vector<T, N> zeros()
{
        return {};
}

/* Sums of 32 bits that wrap: the accumulator of int8 products. A, B and C are row-major. */
template <unsigned M, unsigned K, unsigned N, typename A, typename B> class mmul
{
        static_assert(M == 4 && K == 8 && N == 8 && sizeof(A) == 1 && sizeof(B) == 1,
                      "the only shape modelled here");

      public:
        static constexpr unsigned size_A = M * K, size_B = K * N, size_C = M * N;

        explicit mmul(const vector<std::int32_t, size_C> &v)
        {
                for (unsigned i = 0; i < size_C; i++)
                        sums[i] = static_cast<std::uint32_t>(v.elements[i]);
        }

        void mac(const vector<A, size_A> &a, const vector<B, size_B> &b)
        {
                for (unsigned m = 0; m < M; m++)
                        for (unsigned n = 0; n < N; n++)
                                for (unsigned k = 0; k < K; k++)
                                        sums[m * N + n] += static_cast<std::uint32_t>(a.elements[m * K + k] *
                                                                                      b.elements[k * N + n]);
        }

        template <typename T> vector<T, size_C> to_vector() const
        {
                static_assert(sizeof(T) == 4, "narrower elements would be shifted and clamped");
                vector<T, size_C> v;

                for (unsigned i = 0; i < size_C; i++)
                        v.elements[i] = static_cast<T>(sums[i]);
                return v;
        }

      private:
        std::uint32_t sums[size_C];
};

} // namespace aie

#endif
