/* Rotary positions, and the storing of keys and values in their blocks.
 *
 * Bound by memory: each element is read and written once, 8 bytes for 2 operations. The table of
 * sines is read from L2. Keys are stored 256 bytes apart, a sector of 32 bytes for 4 of them, until
 * L2 has the neighbours of 8 positions. */
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/device_stream.cuh"

struct rotation {
    float *y;
    const float *x, *cos, *sin;
    const int32_t *row_pos;
    int ldy, hy, ldx, hx;
    int H, half; /* pairs a head */
    int interleaved, inverse;
};

/* A block a row, a thread a pair: it reads both before it writes, so y may be x. */
static __global__ void rotate_row(struct rotation r) {
    int64_t t = blockIdx.x, angle = (int64_t)r.row_pos[t] * r.half;
    int step = r.interleaved ? 1 : r.half;
    for (int i = threadIdx.x; i < r.H * r.half; i += blockDim.x) {
        int h = i / r.half, j = i % r.half, first = r.interleaved ? 2 * j : j;
        const float *from = r.x + t * r.ldx + (int64_t)h * r.hx + first;
        float *to = r.y + t * r.ldy + (int64_t)h * r.hy + first;
        float c = r.cos[angle + j], n = r.sin[angle + j], a = from[0], b = from[step];
        if (r.inverse) n = -n;
        to[0] = fmaf(a, c, -(b * n));
        to[step] = fmaf(b, c, a * n);
    }
}

static void rope_rotate(struct stream *s, buf y, int ldy, int hy, buf x, int ldx, int hx, buf cos,
                        buf sin, buf row_pos, int T, int H, int d, bool interleaved, bool inverse) {
    REQUIRE(d >= 2 && d % 2 == 0 && H >= 1);
    struct rotation r = {(float *)y.addr,
                         (const float *)x.addr,
                         (const float *)cos.addr,
                         (const float *)sin.addr,
                         (const int32_t *)row_pos.addr,
                         ldy,
                         hy,
                         ldx,
                         hx,
                         H,
                         d / 2,
                         interleaved,
                         inverse};
    launch(s, "rope", dim3(T), threads_for((int64_t)H * r.half), 0, rotate_row, r);
}

static __global__ void store_row(struct kv_view kv, const float *k, int ldk, const float *v,
                                 int ldv) {
    int64_t t = blockIdx.x;
    int position = i32(kv.row_pos)[t], slot = position % KV_BLOCK;
    int64_t entry = (int64_t)i32(kv.row_seq)[t] * kv.table_stride + position / KV_BLOCK;
    int64_t block = (int64_t)i32(kv.table)[entry] * kv.G * KV_BLOCK;
    for (int i = threadIdx.x; i < kv.G * kv.Dk; i += blockDim.x)
        f32(kv.k)[block * kv.Dk + (int64_t)i * KV_BLOCK + slot] = k[t * ldk + i];
    for (int i = threadIdx.x; i < kv.G * kv.Dv; i += blockDim.x) {
        int64_t g = i / kv.Dv;
        f32(kv.v)[(block + g * KV_BLOCK + slot) * kv.Dv + i % kv.Dv] = v[t * ldv + i];
    }
}

static void rope_store(struct stream *s, const struct kv_view *kv, buf k, int ldk, buf v, int ldv,
                       int T) {
    launch(s, "kv_store", dim3(T), threads_for((int64_t)kv->G * kv->Dk), 0, store_row, *kv,
           (const float *)k.addr, ldk, (const float *)v.addr, ldv);
}

void cuda_rope(struct ops *table) {
    table->rope = rope_rotate;
    table->kv_store = rope_store;
}
