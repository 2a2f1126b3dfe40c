/* SPDX-License-Identifier: Apache-2.0 */
/* What a signature passes before it is released, where an option says so. */
#ifndef HSMSIGN_GUARD_H
#define HSMSIGN_GUARD_H

#include "key.h"
#include "sign.h"

/* Of how many signatures hsmsign-verify = sample verifies one. */
#define PROV_VERIFY_SAMPLE 64

/*
 * Whether pub verifies a signature of key, in another provider: 1 or 0; -1 if
 * none can tell.
 */
int prov_signed_verifies(const struct prov_key *key, EVP_PKEY *pub,
                         const struct prov_signed *made);

/*
 * prov_sign() and prov_key_check_same(), for config.guarded: the signature is
 * verified as hsmsign-verify says, and put down as hsmsign-audit says.  One
 * that is not released is cleansed, with all size bytes of sig.  Returns also
 * P11_BAD_SIGNATURE, P11_NO_PUBLIC, P11_AUDIT, and P11_UNSUPPORTED if no
 * provider can verify it.  Blocks.
 */
CK_RV prov_sign_guarded(struct prov_key *key, const struct sig_params *params,
                        const unsigned char *in, size_t len, unsigned char *sig,
                        size_t size, size_t *sig_len, struct p11_error *err);

#endif
