/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of hsmsignd: from the command line, and where that is silent
 * from the environment.
 */
#ifndef HSMSIGND_OPTIONS_H
#define HSMSIGND_OPTIONS_H

#include <stdbool.h>

struct options {
    const char *listen; /* numeric IPv4 or IPv6 address */
    unsigned long port;
    const char *key;                  /* URI */
    const char *cert, *chain, *certs; /* NULL, or files and a directory */
    const char *profiles;             /* NULL, or a file instead of these */
    const char *users;                /* NULL, or a file: who may sign */
    const char *user;                 /* NULL, or whose rights to take */
    const char *origins; /* NULL, or web pages' origins, separated by commas */
    unsigned long workers, queue, deadline /* ms */, body /* MiB */,
        drain /* s */;
    const char *web;   /* NULL, or the directory of a web page */
    const char *audit; /* NULL, or a file */
    char **verify;     /* NULL, or files to verify; in argv */
    unsigned long audit_sync, audit_optional;
    unsigned long rate, connections, idle /* s */, body_time /* s */;
    unsigned long pss, time, sha1, strict_attributes, strict_digest, check;
};

/*
 * Returns true to go on; false when *status is the exit status, after --help
 * or after it was said what is wrong.
 */
bool options_parse(struct options *options, char **argv, int *status);

#endif
