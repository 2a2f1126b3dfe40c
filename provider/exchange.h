/* SPDX-License-Identifier: Apache-2.0 */
/* Key agreement with EC keys that are made for one handshake. */
#ifndef HSMSIGN_EXCHANGE_H
#define HSMSIGN_EXCHANGE_H

#include <openssl/evp.h>
#include "core.h"

/* The name of the one key exchange. */
#define PROV_EXCHANGE "HSMSIGN-ECDH"

/*
 * A new key on that curve, in memory, which agrees and does nothing else; the
 * caller's, or NULL with an error raised.
 */
struct prov_key *prov_exchange_key(struct prov_ctx *prov, EVP_PKEY *curve);

/* OSSL_FUNC_provider_get_capabilities(): the groups of TLS. */
OSSL_FUNC_provider_get_capabilities_fn prov_exchange_groups;

#endif
