/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 as clients send it (RFC 4648, 4 and 5): both alphabets, white space
 * anywhere, padding or none.  It comes in pieces of any length.
 */
#ifndef HSMSIGND_BASE64_H
#define HSMSIGND_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <openssl/bio.h>

/* All zero is the beginning. */
struct base64 {
    uint32_t bits; /* of a group that is not complete */
    unsigned n;    /* its characters, 0 to 3 */
    bool padded;   /* nothing but padding may follow */
    bool bad;
};

/* What len characters decode to is no longer. */
#define BASE64_MAX(len) ((len) / 4 * 3 + 3)

/*
 * Decode len characters of in to out, which has room for BASE64_MAX(len) bytes.
 * Returns how many were written.  After b->bad nothing is.
 */
size_t base64_decode(struct base64 *b, const char *in, size_t len,
                     unsigned char *out);
/* The bytes of the last group, at most 2; false if it was no base64. */
bool base64_end(struct base64 *b, unsigned char *out, size_t *len);

/* What mem holds, as one line; NULL is no memory.  For OPENSSL_free(). */
char *base64_encode(BIO *mem);

#endif
