/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token beside the provider: for the log, and when a PIN is replaced.  All
 * of it may block on the token.
 */
#ifndef HSMSIGND_HSM_H
#define HSMSIGND_HSM_H

#include <stdbool.h>
#include "pkcs11/pin.h"

/* What the provider raised, by an OpenSSL error code; NULL: it was not it. */
const struct p11_rv_info *hsm_error(unsigned long code);
/* Whether the HSM may answer otherwise by itself: by an OpenSSL error code. */
bool hsm_is_away(unsigned long code);

/*
 * Log module, library, slot, user (of the PIN, which may be NULL) and token of
 * the key that uri names; many: it names more than one, and those that may have
 * been meant.
 */
void hsm_describe(const char *uri, const struct p11_pin *pin, bool many);

/* The URI of all certificates on the key's token. */
void hsm_cert_uri(const char *key, char *uri, size_t size);

/*
 * The PIN that the key's source gives now, to be freed; NULL: none.  If it
 * comes from a file, found is told which before that is read.
 */
struct p11_pin *hsm_pin(const char *uri,
                        void (*found)(void *arg, const char *file), void *arg);

/*
 * The process is logged out of that token.  Who signs next, or is in the midst
 * of it, logs in again, with that PIN; where the provider is loaded and not
 * linked in, with what its file or command has then.  false: it may still be
 * logged in.
 */
bool hsm_change_pin(const char *uri, const struct p11_pin *pin);

/* Another process was refused with it: this one does not send it. */
void hsm_refuse_pin(const char *uri, const struct p11_pin *pin);

#endif
