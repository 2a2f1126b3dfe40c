/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cloudhsm_rules: prints the simulator's rules, one line each, fields apart by
 * tabs: the switch (or "-"), its value, its strict value, how well it is known,
 * what it says, the test that shows it (or "-").
 */
#include <stdio.h>
#include "sim.h"

int main(void)
{
    size_t n = 0;
    const struct sim_rule *rules = sim_rules(&n);

    (void)printf("switch\tvalue\tstrict\tknown\trule\ttest\n");
    for (size_t i = 0; i < n; i++) {
        const struct sim_rule *rule = &rules[i];
        bool always = rule->kind == SIM_ALWAYS;

        (void)printf("%s\t%s\t%s\t%s\t%s\t%s\n", always ? "-" : rule->name,
                     always ? "-" : rule->normal, always ? "-" : rule->strict,
                     rule->known[0] == '\0' ? "-" : rule->known, rule->says,
                     rule->test == NULL ? "-" : rule->test);
    }
    return 0;
}
