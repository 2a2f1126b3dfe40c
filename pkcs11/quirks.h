/* SPDX-License-Identifier: Apache-2.0 */
/* What is special about which PKCS #11 module: a row each. */
#ifndef HSMSIGN_QUIRKS_H
#define HSMSIGN_QUIRKS_H

#include "module.h"

/* The quirks of the module at path, from its file name; 0 for none. */
unsigned p11_quirks(const char *path);

/*
 * The quirk of that name (as pkcs11-provider spells it), as a P11_QUIRK_ bit.
 * A name that is known but means nothing here sets *bit to 0.  Returns false
 * for an unknown name.
 */
bool p11_quirk_by_name(const char *name, size_t len, unsigned *bit);

#endif
