/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include "base64.h"

enum { SKIP = 64, PAD, BAD = 255 };

/* One more than each character's value, so that 0 is none at all. */
/* clang-format off */
static const unsigned char values[256] = {
    [' '] = 65, ['\t'] = 65, ['\r'] = 65, ['\n'] = 65, ['='] = 66,
    ['A'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
            14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
    ['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39,
            40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52,
    ['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
    ['+'] = 63, ['-'] = 63, ['/'] = 64, ['_'] = 64,
};
/* clang-format on */

static unsigned char value_of(unsigned char c)
{
    return (unsigned char)(values[c] - 1);
}

static unsigned char *put(unsigned char *out, uint32_t bits)
{
    *out++ = (unsigned char)(bits >> 16);
    *out++ = (unsigned char)(bits >> 8);
    *out++ = (unsigned char)bits;
    return out;
}

static unsigned char *slowly(struct base64 *b, unsigned char value,
                             unsigned char *out)
{
    if (value == SKIP || b->bad)
        return out;
    if (value == PAD) {
        b->padded = true;
        return out;
    }
    if (value == BAD || b->padded) {
        b->bad = true;
        return out;
    }
    b->bits = b->bits << 6 | value;
    if (++b->n < 4)
        return out;
    b->n = 0;
    return put(out, b->bits);
}

size_t base64_decode(struct base64 *b, const char *in, size_t len,
                     unsigned char *out)
{
    const unsigned char *p = (const unsigned char *)in, *end = p + len;
    unsigned char *start = out;

    while (p < end && !b->bad) {
        /* Whole groups, as long as nothing is odd about them. */
        while (b->n == 0 && !b->padded && end - p >= 4) {
            uint32_t v0 = value_of(p[0]), v1 = value_of(p[1]);
            uint32_t v2 = value_of(p[2]), v3 = value_of(p[3]);

            if ((v0 | v1 | v2 | v3) >= SKIP)
                break;
            out = put(out, v0 << 18 | v1 << 12 | v2 << 6 | v3);
            p += 4;
        }
        if (p < end)
            out = slowly(b, value_of(*p++), out);
    }
    return (size_t)(out - start);
}

bool base64_end(struct base64 *b, unsigned char *out, size_t *len)
{
    *len = 0;
    /* One character is no byte, and padding completes what has begun. */
    if (b->bad || b->n == 1 || (b->padded && b->n == 0))
        return false;
    *len = b->n == 0 ? 0 : b->n - 1;
    b->bits <<= 6 * (4 - b->n);
    if (*len > 0)
        out[0] = (unsigned char)(b->bits >> 16);
    if (*len > 1)
        out[1] = (unsigned char)(b->bits >> 8);
    return true;
}

char *base64_encode(BIO *mem)
{
    unsigned char *data = NULL;
    size_t len = (size_t)BIO_get_mem_data(mem, &data);
    char *text = OPENSSL_malloc(len / 3 * 4 + 5);

    if (text != NULL)
        (void)EVP_EncodeBlock((unsigned char *)text, data, (int)len);
    return text;
}
