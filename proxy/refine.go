package proxy

import "context"

// refine asks a second time where the first answers were cut too early to be exact.
func (q *search) refine(ctx context.Context, out *searchAnswer, answers []answered[*nodeAnswer], f searchForm) {
}
