/* SPDX-License-Identifier: Apache-2.0 */
/* OSSL_OP_DECODER (provider-decoder(7)): PEM files that wrap a URI. */
#ifndef HSMSIGN_DECODER_H
#define HSMSIGN_DECODER_H

#include <openssl/core.h>

extern const OSSL_ALGORITHM prov_decoders[];

#endif
