/* SPDX-License-Identifier: Apache-2.0 */
/* OSSL_OP_KEYMGMT (provider-keymgmt(7)). */
#ifndef HSMSIGN_KEYMGMT_H
#define HSMSIGN_KEYMGMT_H

#include <openssl/core.h>

extern const OSSL_ALGORITHM prov_keymgmts[];

#endif
