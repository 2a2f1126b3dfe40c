/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP request, from its head to its answer and its line in the log.
 */
#ifndef HSMSIGND_CALL_H
#define HSMSIGND_CALL_H

#include <stdbool.h>
#include <stdint.h>
#include <microhttpd.h>
#include <openssl/bio.h>
#include "audit.h"
#include "connection.h"
#include "generation.h"
#include "options.h"
#include "pool.h"
#include "request.h"

#define CALL_ID_MAX 64

enum call_path {
    CALL_ROOT,
    CALL_HEALTH,
    CALL_READY,
    CALL_METRICS,
    CALL_SIGN,
    CALL_WEB, /* with --web */
    CALL_NOWHERE
};

struct call {
    struct job job; /* the first, so that either is the other */
    void *owner;
    struct MHD_Connection *connection;
    struct generations *generations;
    struct generation *generation; /* in which it began */
    struct generation *signer;     /* of profile, or NULL; owned as well */
    const struct profile *profile; /* that signs */
    const struct options *options;
    char id[CALL_ID_MAX + 1]; /* X-Request-Id */
    const char *method, *url; /* libmicrohttpd's, as is origin */
    enum call_path path;
    uint64_t begin, size; /* pool_now(); of the body as far as it is there */
    bool suspended;       /* HTTP's thread alone looks at it */
    bool answered;
    bool closes;            /* the connection, behind the answer */
    struct request request; /* of CALL_SIGN */
    struct fault answer;    /* status 0: none yet; text: if body is NULL */
    BIO *body;              /* of 200, owned */
    const char *type;       /* Content-Type */
    const char *origin;     /* of a web page that is allowed to ask, or NULL */
};

/*
 * The call whose head has come, with its answer if that decides.  NULL: there
 * is no memory.
 */
struct call *call_begin(struct MHD_Connection *connection, const char *url,
                        const char *method, const struct options *options,
                        struct generations *generations);
/* Take a piece of the body.  False: hang up, it is far too long. */
bool call_feed(struct call *c, const char *data, size_t len);

/*
 * Choose c->profile, after the request has ended well: the newest of its name,
 * but for a cades sign that of the certificate which the attributes name.
 * False with the answer: there is none, or it is not for that digest.
 */
bool call_choose(struct call *c);

/* The answer is a short text, or it is JSON. */
void call_text(struct call *c, unsigned status, const char *text);
void call_json(struct call *c, const char *json);
/* The signature is in c->body: the answer is that, as the client wants it. */
void call_signature(struct call *c);

/*
 * The signature was made or not: write that to the audit log.  If it cannot be
 * written the answer is 503, unless the options say otherwise.
 */
void call_audit(struct call *c, struct audit *audit);

/* Send the answer; closing: and close the connection behind it. */
enum MHD_Result call_answer(struct call *c, bool closing);
/* Write the line in the log, and free all of it. */
void call_end(struct call *c);

#endif
