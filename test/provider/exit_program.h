/* SPDX-License-Identifier: Apache-2.0 */
/* The ways in which a program ends: see exit_program.c. */
#ifndef HSMSIGN_TEST_PROVIDER_EXIT_PROGRAM_H
#define HSMSIGN_TEST_PROVIDER_EXIT_PROGRAM_H

#include <stddef.h>

/* A way to end: the process's main returns what run returns, if it returns. */
struct exit_scenario {
    const char *name;
    int (*run)(void);
    int times; /* how often to try, where threads race */
};

extern const struct exit_scenario exit_scenarios[];
extern const size_t exit_scenario_count;

#endif
