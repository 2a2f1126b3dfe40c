/* SPDX-License-Identifier: Apache-2.0 */
/* OSSL_OP_STORE (provider-storemgmt(7)): the scheme "pkcs11". */
#ifndef HSMSIGN_STORE_H
#define HSMSIGN_STORE_H

#include <openssl/core.h>

extern const OSSL_ALGORITHM prov_stores[];

#endif
