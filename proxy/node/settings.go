package node

import (
	"context"
	"net/url"
)

// HasOpenSettings reports whether the node is still to create an index or change its settings.
func (c *Client) HasOpenSettings(ctx context.Context, nodeUID string) (bool, error) {
	page, err := c.taskPage(ctx, url.Values{
		"indexUids": {nodeUID}, "types": {"settingsUpdate,indexCreation"}, "statuses": {"enqueued,processing"}, "limit": {"1"},
	})
	if err != nil {
		return false, err
	}
	return len(page.Results) > 0, nil
}
