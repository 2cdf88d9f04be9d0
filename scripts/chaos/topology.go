package main

import "context"

func (t *trial) topology(ctx context.Context) error { return nil }
