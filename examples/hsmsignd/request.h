/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Document Engine asks for: the bodies of POST /sign, hashed as they
 * arrive, with every field, encoding and default of its protocol.
 */
#ifndef HSMSIGND_REQUEST_H
#define HSMSIGND_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <openssl/evp.h>
#include "base64.h"
#include "options.h"
#include "reader.h"
#include "users.h"

#define REQUEST_DIGESTS 6
/* Signed attributes take a few hundred bytes. */
#define REQUEST_ATTRIBUTES_MAX ((size_t)16384)

/* An answer other than 200: text is for the client, and for the log. */
struct fault {
    int status;
    char text[128];
};
/* Returns false. */
bool fault_set(struct fault *fault, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

enum action {
    ACTION_CERTIFICATES,
    ACTION_SIGN,   /* the bare signature */
    ACTION_PKCS7,  /* a CMS */
    ACTION_WEB,    /* the same, in JSON */
    ACTION_UNKNOWN /* as yet */
};

/* base64 that is hashed as it arrives */
struct hashing {
    bool seen;
    size_t len; /* of what was decoded */
    struct base64 base64;
    EVP_MD_CTX *ctx[REQUEST_DIGESTS]; /* NULL: not this one */
};

struct request {
    const struct options *options;
    struct users *users;
    struct reader reader;
    size_t hint; /* the digest, if it was named before the contents */
    struct hashing contents, data;
    unsigned char *attributes; /* the begin of data, owned */
    /* What is asked for, after request_end(). */
    enum action action;
    bool cades;
    const char *name; /* of the digest, for the log */
    const EVP_MD *md;
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t digest_len;
    bool mismatch;       /* the digest is not that of the contents */
    unsigned digest_bit; /* of md */
    struct who who;
};

/* Once, before all: false when OpenSSL lacks a digest. */
bool request_init_digests(void);
void request_free_digests(void);

/* The digest of that name in struct profile's digests; 0: there is none. */
unsigned request_digest_bit(const char *name);

/*
 * Prepare *r; options and users have to live as long.  profile is what the path
 * says, or "".
 */
void request_begin(struct request *r, const struct options *options,
                   struct users *users, const char *profile);
/* Take a piece of the body. */
void request_feed(struct request *r, const char *data, size_t len);
/* The body is complete: false with the answer in *fault. */
bool request_end(struct request *r, struct fault *fault);
void request_free(struct request *r);

/* For the log. */
const char *request_action_name(enum action action);

#endif
