/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to tokens when the process forks, and when it exits. */
#ifndef HSMSIGN_FORK_H
#define HSMSIGN_FORK_H

#include "rv.h"

/*
 * Register the fork and exit handlers.  To be called for each module, after
 * C_Initialize, so that the exit handler runs before whatever that module
 * registered.  Returns CKR_OK or CKR_HOST_MEMORY.
 */
CK_RV p11_fork_register(struct p11_error *err);

#endif
