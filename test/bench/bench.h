/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program that is measured: one contender, one key, one message of 100
 * bytes.  bench.py starts one process for each contender and tells them in
 * turn what to do, so that all of them meet the same noise.
 *
 *   bench.c   main: the first signature is verified; then commands from stdin
 *   run.c     threads that sign for a while, and how long each signature took
 *   raw.c     the contender "raw": C_SignInit, C_Sign, a session per thread
 *   evp.c     "evp": EVP_DigestSign with whatever key a URI or a file names
 *   floor.c   "floor": the emptiest provider that could answer EVP_DigestSign
 *   cold.c    another program: what `openssl cms -sign` does, by PKCS #11 calls
 *   token.c   a module: the token that answers at once
 */
#ifndef HSMSIGN_BENCH_H
#define HSMSIGN_BENCH_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include "../../pkcs11/cryptoki.h"

enum { BENCH_SIGNATURE_MAX = 1024, BENCH_MESSAGE = 100, BENCH_THREADS = 256 };

/* How a signature is made; the digest is SHA-256. */
struct bench_alg {
    const char *name;
    CK_MECHANISM_TYPE mechanism;
    bool pss;   /* with a salt as long as the digest */
    bool ecdsa; /* PKCS #11 has r||s, all others a SEQUENCE */
};

struct contender {
    const char *name;
    bool raw_ecdsa; /* signs r||s */
    /* Open the key that where names: see the contender's file. */
    bool (*open)(const struct bench_alg *alg, const char *where);
    /* What a thread needs to sign, or NULL: failed. */
    void *(*begin)(void);
    /* Sign the message; sig has BENCH_SIGNATURE_MAX bytes. */
    bool (*sign)(void *thread, unsigned char *sig, size_t *len);
    void (*end)(void *thread);
    /* A context in which a document is signed by updates; NULL: cannot. */
    EVP_MD_CTX *(*document)(void);
};

extern const struct contender bench_raw, bench_evp, bench_floor;
extern const unsigned char bench_message[BENCH_MESSAGE];
/* Its SHA-256 behind a DigestInfo (RFC 8017, 9.2), and that one's length. */
extern unsigned char bench_info[51];
enum { BENCH_INFO_PREFIX = 19 };

/* EVP_DigestSignInit_ex() with alg's parameters. */
bool bench_sign_init(EVP_MD_CTX *ctx, const struct bench_alg *alg,
                     OSSL_LIB_CTX *libctx, EVP_PKEY *key);

/* Sign in that many threads for so long, or until each has made max
 * signatures (0: no limit), and print a line of JSON. */
bool bench_run(const struct contender *who, int threads, double seconds,
               unsigned long max);

/* raw.c, for cold.c: log in and find the key; false with a message. */
bool bench_raw_open(const char *module, const char *object);
/* Sign with the session that found the key. */
bool bench_raw_sign(const struct bench_alg *alg, unsigned char *sig,
                    size_t *len);

#endif
