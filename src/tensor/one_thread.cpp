#include "tensor/one_thread.h"

#include <omp.h>

namespace lowkey {

OneThread::OneThread() : threads_before_(omp_get_max_threads()) {
    if (threads_before_ != 1) omp_set_num_threads(1);
}
OneThread::~OneThread() {
    if (threads_before_ != 1) omp_set_num_threads(threads_before_);
}

}  // namespace lowkey
