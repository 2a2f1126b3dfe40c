/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signing profiles: one from the options, or those of a file.
 *
 *     {"profiles": {"NAME": {"key": URI, "cert": FILE, "chain": FILE,
 *                            "hashes": ["sha256", ...], "pss": true}}}
 *
 * All but "key" may be missing.  A request that names no profile gets the one
 * that is called "default".
 */
#ifndef HSMSIGND_CONFIG_H
#define HSMSIGND_CONFIG_H

#include <stddef.h>
#include <jansson.h>
#include "options.h"
#include "profile.h"

#define CONFIG_DEFAULT "default"

struct config {
    json_t *file; /* in which the strings are, or NULL */
    size_t n;
    struct profile_source list[];
};

/* NULL and a message in error of that size if the file is not such a one. */
struct config *config_load(const struct options *options, char *error,
                           size_t size);
void config_free(struct config *config);

#endif
