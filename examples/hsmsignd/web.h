/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a small web page (examples/web), for who asks for --web. */
#ifndef HSMSIGND_WEB_H
#define HSMSIGND_WEB_H

#include <stdbool.h>
#include <openssl/bio.h>

/* All that such a page may do is ask this service. */
#define WEB_POLICY                                                             \
    "default-src 'none'; script-src 'self'; style-src 'self'; "                \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; "                \
    "frame-ancestors 'none'"

/*
 * The file of dir that url names: /web/NAME, or index.html for /web and /web/.
 * NULL: there is none, or not of a kind that is served.  *type is its
 * Content-Type.
 */
BIO *web_read(const char *dir, const char *url, const char **type);

/*
 * Whether origin is the page of this very service: http or https, and the Host
 * that was asked for.  That has to be a numeric address or localhost, since any
 * other name may be made to point here by whoever has it (DNS rebinding).
 */
bool web_is_own(const char *origin, const char *host);

#endif
