/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service counts, as Prometheus reads it (text format 0.0.4).
 */
#ifndef HSMSIGND_METRICS_H
#define HSMSIGND_METRICS_H

#include <stdint.h>
#include <openssl/bio.h>
#include "request.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* What is now, and is not counted. */
struct metrics_now {
    uint64_t requests;   /* between head and answer */
    uint64_t generation; /* how many there were */
    int64_t expires;     /* seconds until a certificate does; INT64_MAX: none */
    int up;              /* whether the HSM signed when it was last asked */
};

/* A request was answered with that status after so many milliseconds. */
void metrics_request(enum action action, int status, uint64_t ms);
/* All of it.  False: there is no memory. */
bool metrics_write(BIO *out, const struct metrics_now *now);

#endif
