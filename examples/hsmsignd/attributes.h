/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether bytes to be signed are the signed attributes of a CMS (RFC 5652,
 * 5.3 and 5.4), and not anything else that a client wants signed.
 */
#ifndef HSMSIGND_ATTRIBUTES_H
#define HSMSIGND_ATTRIBUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <openssl/x509.h>

/*
 * NULL if der is a DER SET OF attributes with content-type and with a
 * message-digest of digest_len bytes, and for cades with the ESS hash of cert
 * (RFC 5035); or else what is wrong with it.
 */
const char *attributes_check(const unsigned char *der, size_t len,
                             size_t digest_len, bool cades, X509 *cert);

#endif
