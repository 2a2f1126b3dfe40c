/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token whose every answer comes from a fuzzer's input: CK_RV, counts,
 * lengths, handles, strings, attributes, signatures.  It keeps to what it is
 * given as memory, as a module does that passes on what a device says, and
 * writes there what it claims, or nothing.
 *
 * To each call, one byte of the input says how it is answered:
 *
 *     0 to 3  as by a good token: one slot, one key pair, one certificate
 *     4       by the CK_RV that the next byte names, nothing is written
 *     5       by CKR_OK, nothing is written
 *     6       by CKR_OK and lies, which are drawn from the next bytes
 *     7       the same, but by the CK_RV that the next byte names
 *
 * modulo 8.  When the input is used up the token begins with it again, so that
 * it can go on for ever; without any it is a good one.
 */
#ifndef HSMSIGN_TEST_HOSTILE_TOKEN_H
#define HSMSIGN_TEST_HOSTILE_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "pkcs11/cryptoki.h"

/* The keys of a good answer, which libcrypto takes. */
enum hostile_kind {
    HOSTILE_RSA,
    HOSTILE_EC, /* P-256; good signatures of it can be verified */
    HOSTILE_ED25519,
    HOSTILE_ML_DSA, /* ML-DSA-44 */
    HOSTILE_KINDS
};

struct hostile_traits {
    enum hostile_kind kind;
    bool login_required, always_authenticate, initialised;
    unsigned missing; /* modulo their number: which function; 0: none */
};

#define HOSTILE_LABEL "signer" /* of all objects, with id 01 */
#define HOSTILE_TOKEN "hostile"

/*
 * Begin: fill list, which answers as the size bytes at answers say.  They must
 * stay.  Of missing, the list has no function: its name is returned, or NULL.
 */
const char *hostile_begin(CK_FUNCTION_LIST *list,
                          const struct hostile_traits *traits,
                          const uint8_t *answers, size_t size);

/*
 * How many more calls are answered as the input says, and how many more behind
 * them by CKR_GENERAL_ERROR; then the token aborts.
 */
void hostile_allow(unsigned long calls, unsigned long failing);

/* What it wrote of the last signature, in bytes. */
size_t hostile_signed(void);

/* How often it refused the PIN, if it was the same token all the time. */
unsigned hostile_refused(void);

#endif
