/* SPDX-License-Identifier: Apache-2.0 */
/* A URI wrapped in PEM, rightly and wrongly, for the tests of the decoder. */
#ifndef HSMSIGN_TEST_PROVIDER_WRAP_H
#define HSMSIGN_TEST_PROVIDER_WRAP_H

#include "fixture.h"
#include <openssl/pem.h>
#include <string.h>

#define LABEL   "PKCS#11 PROVIDER URI"
#define VERSION "PKCS#11 Provider URI v1.0"
#define P256    FIXTURE_URI "p256"

enum { VISIBLE_STRING = 0x1a, UTF8_STRING = 0x0c, SEQUENCE = 0x30 };

/* DER under construction. */
struct der {
    size_t len;
    unsigned char bytes[16384];
};

static inline void put(struct der *to, unsigned char tag, const void *value,
                       size_t len)
{
    unsigned char head[5] = { tag };
    size_t n = 1;

    if (len < 0x80) {
        head[n++] = (unsigned char)len;
    } else if (len < 0x100) {
        head[n++] = 0x81;
        head[n++] = (unsigned char)len;
    } else {
        head[n++] = 0x82;
        head[n++] = (unsigned char)(len >> 8);
        head[n++] = (unsigned char)len;
    }
    assert_in_range(to->len + n + len, 0, sizeof(to->bytes));
    memcpy(to->bytes + to->len, head, n);
    memcpy(to->bytes + to->len + n, value, len);
    to->len += n + len;
}

/* The wrapping of a URI of len bytes, under these tags and this version. */
static inline void wrap(struct der *out, const char *version,
                        unsigned char tag1, unsigned char tag2, const char *uri,
                        size_t len)
{
    struct der inside = { .len = 0 };

    put(&inside, tag1, version, strlen(version));
    put(&inside, tag2, uri, len);
    out->len = 0;
    put(out, SEQUENCE, inside.bytes, inside.len);
}

static inline void wrap_good(struct der *out, const char *uri)
{
    wrap(out, VERSION, VISIBLE_STRING, UTF8_STRING, uri, strlen(uri));
}

static inline BIO *pem(const char *label, const struct der *der)
{
    BIO *bio = BIO_new(BIO_s_mem());

    assert_non_null(bio);
    assert_true(PEM_write_bio(bio, label, "", der->bytes, (long)der->len) > 0);
    return bio;
}

#endif
