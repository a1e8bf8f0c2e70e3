// How many processors there are to work with.
#pragma once

namespace octavo {

// CPUs that this process may use (its affinity, not what the machine has), at least 1.
unsigned usable_cpus();

}  // namespace octavo
