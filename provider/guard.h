/* SPDX-License-Identifier: Apache-2.0 */
/* What a signature passes before it is released. */
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
 * prov_sign() and prov_key_check_same(); if config.guarded, the signature is
 * verified as hsmsign-verify says, and put down as hsmsign-audit says.  One
 * that is not released is cleansed, with all made->size bytes.
 *
 * made  has prov_sign()'s arguments; receives the rest
 *
 * Returns also P11_BAD_SIGNATURE, P11_NO_PUBLIC, P11_AUDIT, and P11_UNSUPPORTED
 * if no provider can verify it.  Blocks.
 */
CK_RV prov_sign_guarded(struct prov_key *key, struct prov_signed *made,
                        struct p11_error *err);

#endif
