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

// DeletedLast reports that the node has deleted or renamed an index since its settings were changed last.
func (c *Client) DeletedLast(ctx context.Context, nodeUID string) (bool, error) {
	page, err := c.taskPage(ctx, url.Values{
		"indexUids": {nodeUID}, "types": {"settingsUpdate,indexDeletion,indexUpdate"}, "statuses": {"succeeded"}, "limit": {"100"},
	})
	if err != nil {
		return false, err
	}
	for i := range page.Results {
		if task := &page.Results[i]; task.Doubtful() || task.Type == "settingsUpdate" {
			return task.Doubtful(), nil
		}
	}
	return false, nil
}
