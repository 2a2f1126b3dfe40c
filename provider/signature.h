/* SPDX-License-Identifier: Apache-2.0 */
/* OSSL_OP_SIGNATURE (provider-signature(7)). */
#ifndef HSMSIGN_SIGNATURE_H
#define HSMSIGN_SIGNATURE_H

#include <openssl/core.h>

extern const OSSL_ALGORITHM prov_signatures[];

#endif
