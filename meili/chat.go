package meili

import (
	"strings"
)

// ChatSettings are the settings of one chat workspace, as answers show them.
type ChatSettings struct {
	Source       string      `json:"source"`
	OrgID        *string     `json:"orgId"`
	ProjectID    *string     `json:"projectId"`
	APIVersion   *string     `json:"apiVersion"`
	DeploymentID *string     `json:"deploymentId"`
	BaseURL      *string     `json:"baseUrl"`
	APIKey       *string     `json:"apiKey"`
	Prompts      ChatPrompts `json:"prompts"`
}

// ChatPrompts tell a language model how to search.
type ChatPrompts struct {
	System              string `json:"system"`
	SearchDescription   string `json:"searchDescription"`
	SearchQParam        string `json:"searchQParam"`
	SearchFilterParam   string `json:"searchFilterParam"`
	SearchIndexUIDParam string `json:"searchIndexUidParam"`
}

// Sources of language models.
const (
	ChatOpenAI  = "openAi"
	ChatMistral = "mistral"
	ChatAzure   = "azureOpenAi"
	ChatVLLM    = "vLlm"
)

// ChatPatch is the body of PATCH /chats/{workspace}/settings.
type ChatPatch struct {
	Source, OrgID, ProjectID, APIVersion, DeploymentID, BaseURL, APIKey Setting[string]
	Prompts                                                             Setting[chatPromptsPatch]
}

type chatPromptsPatch struct {
	System, SearchDescription, SearchQParam, SearchFilterParam, SearchIndexUIDParam Setting[string]
}

// DecodeChatPatch decodes the body of PATCH /chats/{workspace}/settings. Errors: the invalid_chat_completion_* codes,
// bad_request.
func DecodeChatPatch(body []byte) (*ChatPatch, *Error) {
	p := &ChatPatch{}
	text := func(name string, code Code, dst *Setting[string]) Field {
		return Field{Name: name, Code: code, Decode: intoResettable(dst, ReadString)}
	}
	err := DecodeBody(body, []Field{
		{Name: "source", Decode: intoResettable(&p.Source, ReadEnum(ChatOpenAI, ChatMistral, ChatAzure, ChatVLLM))},
		text("orgId", CodeInvalidChatCompletionOrgID, &p.OrgID),
		text("projectId", CodeInvalidChatCompletionProjectID, &p.ProjectID),
		text("apiVersion", CodeInvalidChatCompletionAPIVersion, &p.APIVersion),
		text("deploymentId", CodeInvalidChatCompletionDeploymentID, &p.DeploymentID),
		text("baseUrl", CodeInvalidChatCompletionBaseAPI, &p.BaseURL),
		text("apiKey", CodeInvalidChatCompletionAPIKey, &p.APIKey),
		{Name: "prompts", Decode: intoResettable(&p.Prompts, readChatPrompts)},
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func readChatPrompts(v *Value, at *Location) (p chatPromptsPatch, err *Error) {
	text := func(name string, code Code, dst *Setting[string]) Field {
		return Field{Name: name, Code: code, Decode: intoResettable(dst, ReadString)}
	}
	err = DecodeObject(v, at, []Field{
		text("system", CodeInvalidChatCompletionSystemPrompt, &p.System),
		text("searchDescription", CodeInvalidChatCompletionSearchDescriptionPrompt, &p.SearchDescription),
		text("searchQParam", CodeInvalidChatCompletionSearchQueryParamPrompt, &p.SearchQParam),
		text("searchFilterParam", CodeInvalidChatCompletionSearchFilterParamPrompt, &p.SearchFilterParam),
		text("searchIndexUidParam", CodeInvalidChatCompletionSearchIndexUIDParamPrompt, &p.SearchIndexUIDParam),
	})
	return p, err
}

// Apply is the settings after the patch; what it resets becomes that of defaults. Error: bad_request.
func (p *ChatPatch) Apply(old, defaults ChatSettings) (ChatSettings, *Error) {
	s := old
	s.Source = patched(p.Source, old.Source, defaults.Source)
	for _, field := range []struct {
		dst *(*string)
		set Setting[string]
	}{{&s.OrgID, p.OrgID}, {&s.ProjectID, p.ProjectID}, {&s.APIVersion, p.APIVersion}, {&s.DeploymentID, p.DeploymentID},
		{&s.BaseURL, p.BaseURL}, {&s.APIKey, p.APIKey}} {
		*field.dst = patchedValue(field.set, *field.dst)
	}
	if p.Prompts.Reset {
		s.Prompts = defaults.Prompts
	}
	prompts := p.Prompts.Value
	s.Prompts = ChatPrompts{
		System:              patched(prompts.System, s.Prompts.System, defaults.Prompts.System),
		SearchDescription:   patched(prompts.SearchDescription, s.Prompts.SearchDescription, defaults.Prompts.SearchDescription),
		SearchQParam:        patched(prompts.SearchQParam, s.Prompts.SearchQParam, defaults.Prompts.SearchQParam),
		SearchFilterParam:   patched(prompts.SearchFilterParam, s.Prompts.SearchFilterParam, defaults.Prompts.SearchFilterParam),
		SearchIndexUIDParam: patched(prompts.SearchIndexUIDParam, s.Prompts.SearchIndexUIDParam, defaults.Prompts.SearchIndexUIDParam),
	}
	return s, s.check()
}

func patched[T any](set Setting[T], old, reset T) T {
	switch {
	case set.Set:
		return set.Value
	case set.Reset:
		return reset
	}
	return old
}

func (s *ChatSettings) check() *Error {
	switch {
	case s.Source == ChatAzure && (s.BaseURL == nil || s.DeploymentID == nil || s.APIVersion == nil):
		return newError(CodeBadRequest, "azureOpenAi requires setting a valid `baseUrl`, `deploymentId`, and `apiVersion`")
	case s.Source == ChatVLLM && s.BaseURL == nil:
		return newError(CodeBadRequest, "vLlm requires setting a valid `baseUrl`")
	}
	return nil
}

// Shown is s with its key hidden.
func (s ChatSettings) Shown() ChatSettings {
	if s.APIKey != nil {
		s.APIKey = new(HideSecret(*s.APIKey))
	}
	return s
}

// ChatNotFound is the error of a chat workspace that does not exist.
func ChatNotFound(workspace string) *Error {
	return Errorf(CodeChatNotFound, "Chat `%s` not found", workspace)
}

// SystemRole is the role in which a model is told its system prompt: newer ones of OpenAI know that of a developer.
func (s *ChatSettings) SystemRole(model string) string {
	if s.Source != ChatOpenAI && s.Source != ChatAzure {
		return "system"
	}
	for _, old := range []string{"gpt-3.5", "gpt-4", "gpt-4.1", "gpt-4.5", "gpt-4o", "chatgpt-4o"} {
		if rest, is := strings.CutPrefix(model, old); is && (rest == "" || rest[0] == '-') {
			return "system"
		}
	}
	return "developer"
}
