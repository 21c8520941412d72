#pragma once

namespace lowkey {

/// While it lives, oneDNN's calls on this thread run on this thread alone. oneDNN would share work
/// out over OpenMP's threads, a second pool beside ours that waits for each of its threads; so each
/// of our threads takes a part of a product itself. What the thread had set comes back at the end.
class OneThread {
public:
    OneThread();
    ~OneThread();
    OneThread(const OneThread&) = delete;
    OneThread& operator=(const OneThread&) = delete;

private:
    int threads_before_;
};

}  // namespace lowkey
