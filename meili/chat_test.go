package meili

import "testing"

// The models are those of the table in crates/meilisearch-types/src/features.rs of Meilisearch v1.50.
func TestSystemRole(t *testing.T) {
	for model, want := range map[string]string{
		"gpt-4": "system", "gpt-4-0613": "system", "gpt-4.1-nano": "system", "gpt-4o-mini": "system", "chatgpt-4o-latest": "system",
		"gpt-3.5-turbo": "system", "o1": "developer", "o3-mini-2025-01-31": "developer", "gpt-45": "developer", "gpt-5": "developer",
	} {
		if got := (&ChatSettings{Source: ChatOpenAI}).SystemRole(model); got != want {
			t.Errorf("%s: %s, want %s", model, got, want)
		}
	}
	if got := (&ChatSettings{Source: ChatMistral}).SystemRole("o1"); got != "system" {
		t.Errorf("another provider: %s", got)
	}
}
